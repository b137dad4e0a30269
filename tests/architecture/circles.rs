//! No two files of a package need each other, directly or by way of others.
//!
//! A file needs another one where it names an item that is defined there. `mod` and `pub use` are no need by themselves: a name
//! that is passed on is followed to its definition. What is compiled for tests only is left out.

use std::collections::{BTreeMap, BTreeSet};

use syn::{
    Item, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

use crate::sources::{PACKAGES, is_for_tests, sources};

type Path = Vec<String>;

/// A module in a file of its own.
#[derive(Default)]
struct Module {
    file: String,
    items: BTreeSet<String>,
    /// Names that `use` brings in, and what each stands for.
    used: BTreeMap<String, Path>,
    /// Modules all of whose names are brought in.
    globs: Vec<Path>,
    /// Every path that the file names.
    named: BTreeSet<Path>,
}

/// The modules of a package, by their paths from its root.
#[derive(Default)]
struct Package(BTreeMap<Path, Module>);

struct Names<'a> {
    module: &'a mut Module,
}

// === impl Names ===

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        tree(&item.tree, &mut Vec::new(), self.module);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Path = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        self.module.named.insert(segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, of: &'ast Macro) {
        let parse = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
        if let Ok(arguments) = syn::parse::Parser::parse2(parse, of.tokens.clone()) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        }
        visit::visit_macro(self, of);
    }
}

// === impl Package ===

impl Package {
    fn read(package: &str) -> Self {
        let mut all = Self::default();
        for (file, text) in sources(package) {
            let within = file.strip_prefix(&format!("{package}/src/")).unwrap();
            // Programs beside the library are packages of their own.
            if within.starts_with("bin/") || within == "main.rs" {
                continue;
            }
            let mut path: Path = within
                .trim_end_matches(".rs")
                .split('/')
                .map(str::to_owned)
                .collect();
            if path.last().is_some_and(|last| last == "mod" || last == "lib") {
                path.pop();
            }
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut module = Module {
                file,
                ..Module::default()
            };
            for item in &parsed.items {
                if !is_for_tests(attributes(item)) {
                    module.items.extend(name_of(item));
                }
            }
            Names { module: &mut module }.visit_file(&parsed);
            all.0.insert(path, module);
        }
        all
    }

    /// The file that defines what a module means by a path.
    fn definition(&self, from: &Path, path: &[String], depth: usize) -> Option<&str> {
        if depth == 0 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.within(&Vec::new(), rest, depth),
            "self" => self.within(from, rest, depth),
            "super" => self.within(&from[..from.len().checked_sub(1)?].to_vec(), rest, depth),
            _ => self.within(from, path, depth),
        }
    }

    /// The file that defines what this path means inside a module.
    fn within(&self, module: &Path, path: &[String], depth: usize) -> Option<&str> {
        // `pub(super)` and `use super::*` take nothing by themselves.
        let (first, rest) = path.split_first()?;
        if first == "super" {
            return self.within(&module[..module.len().checked_sub(1)?].to_vec(), rest, depth);
        }
        let found = self.0.get(module)?;
        let mut child = module.clone();
        child.push(first.clone());
        // A module by itself is a need of nothing: what is taken from it is.
        if !rest.is_empty() && self.0.contains_key(&child) {
            return self.within(&child, rest, depth);
        }
        if found.items.contains(first) {
            return Some(&found.file);
        }
        if let Some(target) = found.used.get(first) {
            let target: Path = target.iter().chain(rest).cloned().collect();
            return self.definition(module, &target, depth - 1);
        }
        found.globs.iter().find_map(|glob| {
            let target: Path = glob.iter().chain(path).cloned().collect();
            self.definition(module, &target, depth - 1)
        })
    }

    /// What each file needs.
    fn needs(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut needs = BTreeMap::<&str, BTreeSet<&str>>::new();
        for (path, module) in &self.0 {
            let own = needs.entry(&module.file).or_default();
            for named in &module.named {
                if let Some(file) = self
                    .definition(path, named, 8)
                    .filter(|file| *file != module.file)
                {
                    own.insert(file);
                }
            }
        }
        needs
    }

    /// The sets of files that need each other.
    fn circles(&self) -> Vec<Vec<&str>> {
        let needs = self.needs();
        let reached = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut open = vec![from];
            while let Some(file) = open.pop() {
                for next in needs.get(file).into_iter().flatten() {
                    if seen.insert(*next) {
                        open.push(next);
                    }
                }
            }
            seen
        };
        let all: BTreeMap<_, _> = needs.keys().map(|file| (*file, reached(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, seen) in &all {
            let circle: Vec<_> = seen
                .iter()
                .copied()
                .filter(|other| all[other].contains(file))
                .collect();
            if circle.len() > 1 {
                circles.insert(circle);
            }
        }
        circles.into_iter().collect()
    }
}

fn tree(tree: &UseTree, prefix: &mut Path, module: &mut Module) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            self::tree(&path.tree, prefix, module);
            prefix.pop();
        }
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|item| self::tree(item, prefix, module)),
        UseTree::Glob(_) => module.globs.push(prefix.clone()),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            let mut target = prefix.clone();
            if name == "self" {
                let Some(last) = target.last().cloned() else {
                    return;
                };
                module.used.insert(last, target);
            } else {
                target.push(name.clone());
                module.used.insert(name, target);
            }
        }
        UseTree::Rename(rename) => {
            let mut target = prefix.clone();
            target.push(rename.ident.to_string());
            module.used.insert(rename.rename.to_string(), target);
        }
    }
}

fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Names that an item defines. `words!` defines the enums in it, `metrics!` the struct and the labels.
fn name_of(item: &Item) -> Vec<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) if item.content.is_some() => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Macro(item) if item.ident.is_some() => {
            return item.ident.iter().map(ToString::to_string).collect();
        }
        Item::Macro(item) => {
            let tokens: Vec<String> = item
                .mac
                .tokens
                .clone()
                .into_iter()
                .map(|token| token.to_string())
                .collect();
            let defines = ["enum", "struct", "labels"];
            let pairs = tokens
                .windows(2)
                .filter(|pair| defines.contains(&pair[0].as_str()));
            return pairs.map(|pair| pair[1].clone()).collect();
        }
        _ => return Vec::new(),
    };
    vec![name.to_string()]
}

#[test]
fn no_files_of_a_package_need_each_other() {
    let mut found = Vec::new();
    for package in PACKAGES {
        let read = Package::read(package);
        let circles = read.circles();
        if !circles.is_empty() {
            let circles: Vec<_> = circles.iter().map(|circle| circle.join(", ")).collect();
            found.push(format!("{package}: {}", circles.join("; ")));
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_name_that_is_passed_on_is_followed_to_its_definition() {
    let module = |file: &str, text: &str| {
        let parsed = syn::parse_file(text).unwrap();
        let mut module = Module {
            file: file.to_owned(),
            items: parsed.items.iter().flat_map(name_of).collect(),
            ..Module::default()
        };
        Names { module: &mut module }.visit_file(&parsed);
        module
    };
    let path = |text: &str| -> Path {
        text.split("::")
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let package = Package(
        [
            ("", module("lib", "mod a; mod b; pub use b::deep::Leaf;")),
            (
                "a",
                module(
                    "a",
                    "use crate::Leaf; pub struct Top(Leaf); fn f() { format!(\"{}\", super::b::g()) }",
                ),
            ),
            (
                "b",
                module(
                    "b",
                    "pub mod deep; pub(super) fn g() -> deep::Leaf { super::b::deep::Leaf }",
                ),
            ),
            (
                "b::deep",
                module(
                    "deep",
                    "words! { pub enum Leaf { A } } use super::super::a::Top;\n fn h(_: &Top) {}",
                ),
            ),
        ]
        .map(|(at, module)| (path(at), module))
        .into(),
    );
    let needs = package.needs();
    assert_eq!(needs["a"], ["b", "deep"].into());
    assert_eq!(needs["b"], ["deep"].into());
    assert_eq!(needs["deep"], ["a"].into());
    assert_eq!(needs["lib"], BTreeSet::new());
    assert_eq!(package.circles(), [vec!["a", "b", "deep"]]);
}
