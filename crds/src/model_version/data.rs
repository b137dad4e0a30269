//! Sources of rows, and the format of a file.

use kube::KubeSchema;
use modelward_wire::Digest;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::default_true;

/// The pattern of an object name, and the message for an invalid name.
const IS_OBJECT_NAME: &str = "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')";
const OBJECT_NAME: &str = "write a name as Kubernetes has them: lower-case letters, digits, '-' and '.'";

/// A dataset with a name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedDataset {
    /// Name of the dataset, used in messages.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Where the rows are.
    pub dataset: Dataset,
}

/// One or more CSV or Parquet files. Exactly one of configMap, uri and persistentVolumeClaim must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.uri), has(self.persistentVolumeClaim)].filter(x, x).size() == 1")
    .message("exactly one of configMap, uri and persistentVolumeClaim must be set"))]
#[x_kube(validation = Rule::new("!has(self.moreFiles) || !has(self.configMap) || self.moreFiles.all(f, f.size() <= 253 && f != self.configMap.key && \
    f.matches('^[-._a-zA-Z0-9]+$') && f != '.' && !f.startsWith('..'))")
    .message("moreFiles of a ConfigMap are other keys of it: letters, digits, '-', '_' and '.'"))]
#[x_kube(validation = Rule::new("!has(self.moreFiles) || !has(self.persistentVolumeClaim) || self.moreFiles.all(f, f.size() <= 1024 && \
    f != self.persistentVolumeClaim.path && f.matches('^[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)*$') && !f.split('/').exists(p, p == '..'))")
    .message("moreFiles of a PersistentVolumeClaim are other paths from its root without a leading '/' and without '..'; letters, digits, '-', '_' and '.' are allowed"))]
#[x_kube(validation = Rule::new("!has(self.moreFiles) || !has(self.uri) || self.moreFiles.all(f, f != self.uri && f.matches('^[a-z0-9]+://[!-~]+$') && \
    f.split('/')[0] == self.uri.split('/')[0] && f.split('/')[2] == self.uri.split('/')[2])")
    .message("moreFiles of an address are other addresses with the same scheme and host; files of another host are one of additionalDatasets"))]
#[x_kube(validation = Rule::new("!has(self.endpoint) || (has(self.uri) && self.uri.startsWith('s3://'))")
    .message("endpoint is the server of an s3:// address; remove it, or set uri to s3://BUCKET/KEY"))]
#[x_kube(validation = Rule::new("!has(self.credentialsSecret) || (has(self.uri) && self.uri.matches('^(s3|gs|az)://'))")
    .message("credentialsSecret is for addresses that begin with s3://, gs:// or az://; remove it"))]
pub struct Dataset {
    /// Key of a ConfigMap in this namespace. The version waits until the ConfigMap exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,

    /// Address that begins with http:// or https://, or the address of an object in a bucket: s3://BUCKET/KEY, gs://BUCKET/KEY or
    /// az://CONTAINER/BLOB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^(https?|s3|gs|az)://[!-~]+$')")
        .message("write an address that begins with http:// or https://, or with s3://, gs:// or az:// for an object in a bucket, and has only ASCII characters, with %20 for a space"))]
    #[x_kube(validation = Rule::new("!self.matches('^(s3|gs|az)://') || self.matches('^[a-z0-9]+://[^/?#]+/[^?#]*[^/?#]$')")
        .message("write the bucket and the key of one object, such as s3://bucket/folder/file.csv"))]
    #[x_kube(validation = Rule::new("!self.matches('^[a-z0-9]+://[^/?#]*@')")
        .message("remove the user name and password: every user who may read the version would see them"))]
    pub uri: Option<String>,

    /// Server of an s3:// address, such as `http://minio.storage:9000`. If absent, Amazon S3 is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[-.a-zA-Z0-9:]+/?$')")
        .message("write the address of the server alone, such as http://minio.storage:9000"))]
    pub endpoint: Option<String>,

    /// Secret in this namespace with the credentials for a bucket. Only the Job that reads the data gets them, and only these keys of
    /// the Secret: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and AWS_REGION for s3://; GOOGLE_SERVICE_ACCOUNT_KEY for
    /// gs://; AZURE_STORAGE_ACCOUNT_NAME, AZURE_STORAGE_ACCOUNT_KEY and AZURE_STORAGE_SAS_TOKEN for az://. If absent, the Job uses the
    /// identity that the cluster gives the Pod, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<CredentialsSecret>,

    /// File or folder on a PersistentVolumeClaim in this namespace. The version waits until the claim exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimSource>,

    /// Further files, which are read after the first one: keys of the same ConfigMap, paths on the same claim, or addresses with the
    /// same scheme and host. All files must have the same columns, in any order. The settings of csv apply to each file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 15), inner(length(min = 1, max = 2048)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub more_files: Vec<String>,

    /// Digest that the data must have: "sha256:" and 64 hexadecimal digits. For one file, this is the digest of its bytes. For several
    /// files, it is the digest of a text with a line for each file, in order, as sha256sum prints it: the digest of the file in
    /// hexadecimal digits, two spaces, its name. If absent, any content is accepted and its digest is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub sha256: Option<Digest>,

    /// Format of the file. For a Parquet file, which is recognized by its content, only missing, columns and rename apply.
    #[serde(default, skip_serializing_if = "CsvFormat::is_default")]
    pub csv: CsvFormat,
}

impl Dataset {
    /// The names of its files as written in the spec: keys, paths or addresses. A path may be that of a folder.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let map = self.config_map.as_ref().map(|source| source.key.as_str());
        let claim = self
            .persistent_volume_claim
            .as_ref()
            .map(|source| source.path.as_str());
        let first = map.or(claim).or(self.uri.as_deref());
        first
            .into_iter()
            .chain(self.more_files.iter().map(String::as_str))
    }
}

/// A Secret with the credentials of a bucket.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub name: String,
}

/// The keys of a Secret that are used for the address of an object, by its scheme. There are none for an http address.
pub fn credential_keys(uri: &str) -> impl Iterator<Item = &'static str> + use<> {
    let keys: &[&str] = match uri.split("://").next() {
        Some("s3") => &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
        ],
        Some("gs") => &["GOOGLE_SERVICE_ACCOUNT_KEY"],
        Some("az") => &[
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
        ],
        _ => &[],
    };
    keys.iter().copied()
}

/// The environment variable of a Job that holds a key of the Secret for the dataset with this index.
pub fn credential_variable(dataset: usize, key: &str) -> String {
    format!("MODELWARD_SOURCE_{dataset}_{key}")
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub name: String,
    /// Key of the ConfigMap that contains the file.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("write a key of the ConfigMap: letters, digits, '-', '_' and '.', and neither \".\" nor a name that begins with \"..\""))]
    pub key: String,
}

/// A file or folder on a PersistentVolumeClaim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersistentVolumeClaimSource {
    /// Name of the PersistentVolumeClaim.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub claim_name: String,
    /// Path of the file relative to the root of the volume, without "..". If it is a folder, the files in it whose names end with .csv
    /// or .parquet are read in the order of their names, at most 16.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)*$')")
        .message("write the path from the volume's root without a leading '/', such as data/heart.csv; letters, digits, '-', '_' and '.' are allowed"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(p, p == '..')").message("path may not contain '..'"))]
    pub path: String,
}

/// The format of a CSV file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.header) || self.header || (has(self.columns) && size(self.columns) > 0)").message("columns must be set where the file has no header"))]
#[x_kube(validation = Rule::new("!has(self.header) || self.header || !has(self.rename)").message("rename is for files with a header; columns names the columns of a file without one"))]
#[x_kube(validation = Rule::new("!has(self.thousands) || self.thousands != (has(self.decimal) ? self.decimal : '.')")
    .message("thousands and decimal must be different characters; where thousands is \".\", set decimal to \",\""))]
pub struct CsvFormat {
    /// Whether the first line has the names of the columns. Default: true.
    #[serde(default = "default_true", skip_serializing_if = "is_true")]
    pub header: bool,
    /// Names of the columns, in the order of the file. Required if the file has no header. If it has one, the names must match it,
    /// after rename.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub columns: Vec<String>,
    /// New names for columns of the header. Needed for a column without a name, such as the index that pandas writes, and for names of
    /// more than 128 characters. All other fields use the new names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rename: Vec<ColumnRename>,
    /// Strings that mean "missing", in addition to the empty string. Numbers are compared as numbers: "-999" also matches "-999.0".
    /// Requests are read in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub missing: Vec<String>,
    /// Character between fields: ",", ";", "|" or a tab. Default: ",".
    #[serde(default = "default_delimiter", skip_serializing_if = "is_comma")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self in [',', ';', '|', '\\t']")
        .message("write one of \",\", \";\", \"|\" and \"\\t\" (a tab, in double quotes)"))]
    pub delimiter: String,
    /// Decimal separator of numbers: "." or ",". Default: ".".
    #[serde(default = "default_decimal", skip_serializing_if = "is_point")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self in ['.', ',']").message("write one of \".\" and \",\""))]
    pub decimal: String,
    /// Thousands separator of numbers, between groups of three digits: ",", ".", " " (also a no-break space), "'" or "_". If absent,
    /// numbers have no thousands separator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self in [',', '.', ' ', \"'\", '_']")
        .message("write one of \",\", \".\", \" \", \"'\" and \"_\""))]
    pub thousands: Option<String>,
}

/// A new name for a column of the header. Exactly one of from and position must be set.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.from) != has(self.position)").message("exactly one of from and position must be set"))]
pub struct ColumnRename {
    /// Name in the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub from: Option<String>,
    /// Position of the column, starting at 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub position: Option<i32>,
    /// New name of the column.
    #[schemars(length(min = 1, max = 128))]
    pub to: String,
}

fn default_decimal() -> String {
    ".".to_owned()
}

fn is_point(decimal: &str) -> bool {
    decimal == "."
}

fn is_comma(delimiter: &str) -> bool {
    delimiter == ","
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(value: &bool) -> bool {
    *value
}

fn default_delimiter() -> String {
    ",".to_owned()
}

// The schema has no defaults for fields that may be in a list: kubectl and GitOps tools compare a list as a whole and would see a
// difference in every default that the API server adds.
impl CsvFormat {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for CsvFormat {
    fn default() -> Self {
        Self {
            header: true,
            columns: Vec::new(),
            rename: Vec::new(),
            missing: Vec::new(),
            delimiter: default_delimiter(),
            decimal: default_decimal(),
            thousands: None,
        }
    }
}
