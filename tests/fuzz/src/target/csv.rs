//! CSV files: the first byte chooses how the file is said to be written, the others are the file.

use super::{
    Target,
    table::{FORMATS, check_table},
};

/// A customer's file, as people write them.
const FILES: [&str; 8] = [
    "age,plan,y\n31,pro,0\n45,plus,1\n28,,0\n52,pro,1\n",
    "\u{feff}age;plan;y\r\n31,5;\"pro; or not\";0\r\n45;\"a \"\"b\"\"\";1\r\n",
    "age\tplan\ty\r1e3\tNA\t0\r-.5\t?\t1\r+12\t\u{2212}5\t0\r",
    "31|pro|0\n45|plus|1\n28|pro|1\n",
    "age,plan,y\n1.000,50,0\n12,34,567,1\n",
    "age,plan,y\n31,\"two\nlines\",0\n45,\"\",1\n",
    "\"age\",\"caf\u{e9}\",y\n9007199254740993,cafe\u{301},0\n1e308,x,1\n",
    "age,plan,y\n2026-01-05,0x1F,0\n20260105,7 %,1\n,,\n\n",
];

/// The sample data of the repository.
const HEART: &str = include_str!("../../../../manifests/samples/heart-disease/cleveland.csv");

#[derive(Debug)]
pub(super) struct Csv;

impl Target for Csv {
    fn name(&self) -> &'static str {
        "csv"
    }

    fn run(&self, bytes: &[u8]) {
        if let Some((format, file)) = bytes.split_first() {
            check_table(*format, file);
        }
    }

    fn samples(&self) -> Vec<Vec<u8>> {
        let heart = HEART.split_inclusive('\n').take(30).collect();
        let files = FILES.iter().map(|file| (*file).to_owned()).chain([heart]);
        files
            .flat_map(|file| {
                (0..FORMATS)
                    .step_by(23)
                    .map(move |format| [&[format], file.as_bytes()].concat())
            })
            .collect()
    }

    fn words(&self) -> &'static [&'static str] {
        &[
            "\"", "\"\"", "\r\n", ";", ",", "|", "\t", "\u{feff}", "NA", "nan", "1e308", "-999", "0x1F",
            "\u{a0}", "PAR1", "age", "y", "e\u{301}", "<html>", "{\"", "1.000,5",
        ]
    }

    fn memory(&self, input: usize) -> usize {
        (8 << 20) + 400 * input
    }
}
