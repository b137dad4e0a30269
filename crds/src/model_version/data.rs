//! Where rows come from, and the format of a file.

use kube::KubeSchema;
use modelward_wire::Digest;
use serde::{Deserialize, Serialize};

use crate::model_version::rules::default_true;

/// The pattern of an object's name, and the message for an invalid one.
const IS_OBJECT_NAME: &str = "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')";
const OBJECT_NAME: &str = "write a name as Kubernetes has them: lower-case letters, digits, '-' and '.'";

/// A dataset with a name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedDataset {
    /// Its name, used in messages.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// The location of its rows.
    pub dataset: Dataset,
}

/// A CSV file, from exactly one location.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("[has(self.configMap), has(self.uri), has(self.persistentVolumeClaim)].filter(x, x).size() == 1")
    .message("exactly one of configMap, uri and persistentVolumeClaim must be set"))]
pub struct Dataset {
    /// A key of a ConfigMap in this namespace. The version waits until the ConfigMap exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,

    /// An http or https address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[!-~]+$')")
        .message("write an address that begins with http:// or https:// and has only ASCII characters, with %20 for a space"))]
    #[x_kube(validation = Rule::new("!self.matches('^https?://[^/?#]*@')")
        .message("remove the user name and password: every user who may read the version would see them"))]
    pub uri: Option<String>,

    /// A file on a PersistentVolumeClaim in this namespace. The version waits until the claim exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<PersistentVolumeClaimSource>,

    /// The digest that the file must have: "sha256:" and 64 hexadecimal digits. If absent, any content is accepted and its
    /// digest is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::written_digest")]
    pub sha256: Option<Digest>,

    /// The format of the file.
    #[serde(default)]
    pub csv: CsvFormat,
}

/// A key of a ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConfigMapSource {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub name: String,
    /// Key that contains the file.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')")
        .message("write a key of the ConfigMap: letters, digits, '-', '_' and '.', and neither \".\" nor a name that begins with \"..\""))]
    pub key: String,
}

/// A file on a PersistentVolumeClaim.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PersistentVolumeClaimSource {
    /// Name of the claim.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(IS_OBJECT_NAME).message(OBJECT_NAME))]
    pub claim_name: String,
    /// Path of the file relative to the volume's root, without "..".
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new("self.matches('^[-._a-zA-Z0-9]+(/[-._a-zA-Z0-9]+)*$')")
        .message("write the path from the volume's root without a leading '/', such as data/heart.csv; letters, digits, '-', '_' and '.' are allowed"))]
    #[x_kube(validation = Rule::new("!self.split('/').exists(p, p == '..')").message("path may not contain '..'"))]
    pub path: String,
}

/// The format of a CSV file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.header || (has(self.columns) && size(self.columns) > 0)").message("columns must be set where the file has no header"))]
#[x_kube(validation = Rule::new("self.header || !has(self.rename)").message("rename is for files with a header; columns names the columns of a file without one"))]
#[x_kube(validation = Rule::new("!has(self.thousands) || self.thousands != (has(self.decimal) ? self.decimal : '.')")
    .message("thousands and decimal must be different characters; where thousands is \".\", set decimal to \",\""))]
pub struct CsvFormat {
    /// Whether the first line names the columns.
    #[serde(default = "default_true")]
    pub header: bool,
    /// Names of the columns, in the order of the file. Required without a header; with a header, both must match, after rename.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub columns: Vec<String>,
    /// New names for columns of the header: for a column without a name, such as the index that pandas writes, and for names of more
    /// than 128 characters. All other fields use the new names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub rename: Vec<ColumnRename>,
    /// Texts that mean "missing", in addition to the empty text. Numbers are compared as numbers: "-999" also means "-999.0".
    /// Requests that contain them are read in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 32)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub missing: Vec<String>,
    /// The character between fields.
    #[serde(default = "default_delimiter")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self in [',', ';', '|', '\\t']")
        .message("write one of \",\", \";\", \"|\" and \"\\t\" (a tab, in double quotes)"))]
    pub delimiter: String,
    /// The character before the decimals of a number: "." (the default) or ",".
    #[serde(default = "default_decimal", skip_serializing_if = "is_point")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self in ['.', ',']").message("write one of \".\" and \",\""))]
    pub decimal: String,
    /// The character between groups of three digits: ",", ".", " " (also a no-break space), "'" or "_". If absent, numbers have
    /// no such character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(validation = Rule::new("self in [',', '.', ' ', \"'\", '_']")
        .message("write one of \",\", \".\", \" \", \"'\" and \"_\""))]
    pub thousands: Option<String>,
}

/// A new name for a column of the header.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.from) != has(self.position)").message("exactly one of from and position must be set"))]
pub struct ColumnRename {
    /// The name in the header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub from: Option<String>,
    /// The position of the column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4096))]
    pub position: Option<i32>,
    /// The new name.
    #[schemars(length(min = 1, max = 128))]
    pub to: String,
}

fn default_decimal() -> String {
    ".".to_owned()
}

fn is_point(decimal: &str) -> bool {
    decimal == "."
}

fn default_delimiter() -> String {
    ",".to_owned()
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
