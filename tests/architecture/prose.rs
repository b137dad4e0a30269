//! No program decides by a text that is meant for people.
//!
//! What a program compares is a word that the compiler knows: reasons, types, roles, kinds and outcomes are enums (`words!`).
//! A sentence can be put better at any time, and must not change what is done. This test reads the sources and looks at every
//! place where texts are compared: operands of `==` and `!=`, patterns of `match`, `if let` and `matches!`, and the receiver
//! and arguments of methods that search in a text. It finds three things there:
//!
//! * a literal with a space in it, which is prose,
//! * a value whose name says that it is prose, such as `message`,
//! * a literal in CamelCase, which is a word of an API and belongs into an enum.
//!
//! Exceptions are listed with a reason each, by file and function. One that finds nothing fails the test too.
//!
//! It cannot see prose that is passed on under another name.
use std::{collections::BTreeSet, fmt};

use syn::{
    Arm, Expr, ExprBinary, ExprLet, ExprLit, ExprMatch, ExprMethodCall, ImplItemFn, ItemFn, ItemMod, Lit,
    Macro, Pat, Token, TraitItemFn,
    parse::Parser as _,
    punctuated::Punctuated,
    visit::{self, Visit},
};

use crate::sources::{PACKAGES, is_for_tests, sources};

/// Methods that look for a text in a text, or compare two.
const SEARCHES: [&str; 14] = [
    "contains",
    "starts_with",
    "ends_with",
    "strip_prefix",
    "strip_suffix",
    "split_once",
    "rsplit_once",
    "split",
    "find",
    "rfind",
    "eq",
    "ne",
    "eq_ignore_ascii_case",
    "trim_start_matches",
];
/// Names of values that hold prose.
const PROSE: [&str; 10] = [
    "message", "summary", "words", "note", "comment", "sentence", "title", "detail", "hint", "said",
];

/// A place that is allowed to.
struct Allowed {
    file: &'static str,
    function: &'static str,
    why: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed {
        file: "operator/core/src/conditions.rs",
        function: "worth_an_event",
        why: "of two conditions with the same words one Event is enough; nothing else follows",
    },
    Allowed {
        file: "operator/core/src/action/kinds/retrain.rs",
        function: "as_its_promotion",
        why: "a part of the text that another condition has is left out of a text",
    },
    Allowed {
        file: "operator/core/src/action/approval.rs",
        function: "enforced",
        why: "decides only whether a text is written anew",
    },
    Allowed {
        file: "operator/core/src/pods.rs",
        function: "without_generated_name",
        why: "takes out of Kubernetes' text what differs each time",
    },
    Allowed {
        file: "operator/core/src/pods.rs",
        function: "without_local_port",
        why: "takes out of Kubernetes' text what differs each time",
    },
    Allowed {
        file: "operator/controllers/src/gate/refusal.rs",
        function: "gap_unless_refused",
        why: "the API server names the policy that refused in a sentence only",
    },
    Allowed {
        file: "operator/controllers/src/gate/refusal.rs",
        function: "refusal",
        why: "the API server says in a sentence only whether it was a webhook or a policy",
    },
    Allowed {
        file: "operator/controllers/src/gate/refusal.rs",
        function: "hindered",
        why: "the API server names the policy that refused in a sentence only",
    },
    Allowed {
        file: "operator/controllers/src/gate/refusal.rs",
        function: "obstacle",
        why: "the API server says what refused in a sentence only",
    },
    Allowed {
        file: "inference/src/http/json.rs",
        function: "problem",
        why: "serde_json gives line and column apart and within its text, which is passed on without them",
    },
    Allowed {
        file: "inference/model/src/family/onnx/graph.rs",
        function: "of",
        why: "an ONNX file names its operators by texts",
    },
];

/// Files that read objects of Kubernetes, whose types are texts: kinds, phases, reasons, operators.
const KUBERNETES: &[&str] = &[
    "operator/core/src/children.rs",
    "operator/core/src/pods.rs",
    "operator/controllers/src/api/apply.rs",
    "operator/controllers/src/gate/policies.rs",
    "operator/controllers/src/jobs/result.rs",
    "operator/controllers/src/model/dereference.rs",
    "operator/controllers/src/model/key.rs",
    "operator/controllers/src/model/pods.rs",
    "operator/ledger/src/auth.rs",
    "trainer/src/spec.rs",
];

/// What is wrong with a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rule {
    Sentence,
    Prose,
    ApiWord,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    function: String,
    line: usize,
    rule: Rule,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            function,
            line,
            rule,
            what,
        } = self;
        let why = match rule {
            Rule::Sentence => "compares a sentence",
            Rule::Prose => "decides by a text for people",
            Rule::ApiWord => "compares a word of an API that is no enum",
        };
        write!(f, "{file}:{line}: {function} {why}: {what}")
    }
}

struct Reader {
    file: String,
    functions: Vec<String>,
    found: Vec<Finding>,
}

// === impl Reader ===

impl Reader {
    fn note(&mut self, span: proc_macro2::Span, rule: Rule, what: &str) {
        self.found.push(Finding {
            file: self.file.clone(),
            function: self.functions.last().cloned().unwrap_or_default(),
            line: span.start().line,
            rule,
            what: what.to_owned(),
        });
    }

    /// An expression in a place where texts are compared.
    fn compared(&mut self, expr: &Expr) {
        match expr {
            Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => self.literal(text),
            Expr::Reference(reference) => self.compared(&reference.expr),
            Expr::Paren(paren) => self.compared(&paren.expr),
            Expr::Array(array) => array.elems.iter().for_each(|item| self.compared(item)),
            Expr::Tuple(tuple) => tuple.elems.iter().for_each(|item| self.compared(item)),
            Expr::MethodCall(call) if call.args.is_empty() => self.compared(&call.receiver),
            Expr::Field(field) => {
                if let syn::Member::Named(name) = &field.member {
                    self.named(&name.to_string(), name.span());
                }
            }
            Expr::Path(path) => {
                if let Some(last) = path.path.segments.last() {
                    self.named(&last.ident.to_string(), last.ident.span());
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, name: &str, span: proc_macro2::Span) {
        if PROSE.contains(&name) {
            self.note(span, Rule::Prose, name);
        }
    }

    fn literal(&mut self, text: &syn::LitStr) {
        let value = text.value();
        if value.trim().contains(' ') {
            self.note(text.span(), Rule::Sentence, &format!("{value:?}"));
        } else if is_api_word(&value) {
            self.note(text.span(), Rule::ApiWord, &format!("{value:?}"));
        }
    }

    fn pattern(&mut self, pattern: &Pat) {
        match pattern {
            Pat::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) => self.literal(text),
            Pat::Or(or) => or.cases.iter().for_each(|case| self.pattern(case)),
            Pat::Paren(paren) => self.pattern(&paren.pat),
            Pat::Reference(reference) => self.pattern(&reference.pat),
            Pat::Tuple(tuple) => tuple.elems.iter().for_each(|item| self.pattern(item)),
            Pat::TupleStruct(tuple) => tuple.elems.iter().for_each(|item| self.pattern(item)),
            Pat::Slice(slice) => slice.elems.iter().for_each(|item| self.pattern(item)),
            Pat::Struct(fields) => fields.fields.iter().for_each(|field| self.pattern(&field.pat)),
            Pat::Ident(ident) => {
                if let Some((_, pattern)) = &ident.subpat {
                    self.pattern(pattern);
                }
            }
            _ => {}
        }
    }

    fn within(&mut self, name: &syn::Ident, visit: impl FnOnce(&mut Self)) {
        self.functions.push(name.to_string());
        visit(self);
        self.functions.pop();
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.within(&function.sig.ident, |reader| {
                visit::visit_item_fn(reader, function);
            });
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            self.within(&function.sig.ident, |reader| {
                visit::visit_impl_item_fn(reader, function);
            });
        }
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        self.within(&function.sig.ident, |reader| {
            visit::visit_trait_item_fn(reader, function);
        });
    }

    fn visit_expr_binary(&mut self, binary: &'ast ExprBinary) {
        if matches!(binary.op, syn::BinOp::Eq(_) | syn::BinOp::Ne(_)) {
            self.compared(&binary.left);
            self.compared(&binary.right);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_match(&mut self, expr: &'ast ExprMatch) {
        expr.arms.iter().for_each(|Arm { pat, .. }| self.pattern(pat));
        visit::visit_expr_match(self, expr);
    }

    fn visit_expr_let(&mut self, expr: &'ast ExprLet) {
        self.pattern(&expr.pat);
        visit::visit_expr_let(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if SEARCHES.contains(&call.method.to_string().as_str()) && !call.args.is_empty() {
            self.compared(&call.receiver);
            call.args.iter().for_each(|argument| self.compared(argument));
        }
        visit::visit_expr_method_call(self, call);
    }

    /// `matches!` is read by hand: what is in a macro is no syntax yet. Other macros are read where they hold expressions.
    fn visit_macro(&mut self, of: &'ast Macro) {
        let Some(name) = of.path.segments.last() else {
            return;
        };
        if name.ident == "matches" {
            let read = |input: syn::parse::ParseStream<'_>| {
                let expr: Expr = input.parse()?;
                input.parse::<Token![,]>()?;
                let pattern = Pat::parse_multi_with_leading_vert(input)?;
                let guard = if input.parse::<Option<Token![if]>>()?.is_some() {
                    Some(input.parse::<Expr>()?)
                } else {
                    None
                };
                input.parse::<Option<Token![,]>>()?;
                Ok((expr, pattern, guard))
            };
            let (expr, pattern, guard) = read.parse2(of.tokens.clone()).expect("a matches!");
            self.pattern(&pattern);
            self.visit_expr(&expr);
            if let Some(guard) = &guard {
                self.visit_expr(guard);
            }
            return;
        }
        let arguments = Punctuated::<Expr, Token![,]>::parse_terminated;
        if let Ok(arguments) = arguments.parse2(of.tokens.clone()) {
            arguments.iter().for_each(|argument| self.visit_expr(argument));
        }
    }
}

/// `True`, `DeadlineExceeded`: letters and digits with a capital first and a small letter somewhere.
fn is_api_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric())
        && text.contains(|letter: char| letter.is_ascii_lowercase())
        && text.len() > 2
}

fn read(file: &str, text: &str) -> Vec<Finding> {
    let mut reader = Reader {
        file: file.to_owned(),
        functions: Vec::new(),
        found: Vec::new(),
    };
    reader.visit_file(&syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}")));
    reader.found
}

#[test]
fn no_program_decides_by_a_text_for_people() {
    let mut used = BTreeSet::new();
    let mut kubernetes = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in PACKAGES {
        for (file, text) in sources(package) {
            for finding in read(&file, &text) {
                if finding.rule == Rule::ApiWord && KUBERNETES.contains(&finding.file.as_str()) {
                    kubernetes.insert(finding.file);
                    continue;
                }
                let allowed = ALLOWED
                    .iter()
                    .position(|allowed| allowed.file == finding.file && allowed.function == finding.function);
                match allowed {
                    Some(allowed) => _ = used.insert(allowed),
                    None => wrong.push(finding.to_string()),
                }
            }
        }
    }
    for file in KUBERNETES {
        if !kubernetes.contains(*file) {
            wrong.push(format!(
                "{file} compares no word of Kubernetes: take it off the list"
            ));
        }
    }
    for (number, allowed) in ALLOWED.iter().enumerate() {
        assert!(!allowed.why.is_empty());
        if !used.contains(&number) {
            wrong.push(format!(
                "{}: {} is allowed to and does not: take it off the list",
                allowed.file, allowed.function
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn each_kind_of_comparison_is_found() {
    let bad = [
        (Rule::Sentence, r#"if text == "the admission policies" {}"#),
        (Rule::Sentence, r#"let _ = text.strip_prefix("covered by ");"#),
        (
            Rule::Sentence,
            r#"match text { "has no endpoints" | "gone" => {}, _ => {} }"#,
        ),
        (
            Rule::Sentence,
            r#"let _ = matches!(x.text(), Some("it is gone"));"#,
        ),
        (Rule::Sentence, r#"let _ = ["a b", "c"].contains(&text);"#),
        (Rule::Sentence, r#"assert!(text.contains("exceeded quota"));"#),
        (Rule::Prose, "if before.message == now {}"),
        (Rule::Prose, "let _ = known.message.as_str().starts_with(x);"),
        (Rule::Prose, "let _ = x.contains(&summary);"),
        (Rule::ApiWord, r#"if condition.status == "True" {}"#),
        (Rule::ApiWord, r#"if let Some("Conflict") = category {}"#),
        (Rule::ApiWord, r#"let _ = x.filter(|kind| *kind != "Secret");"#),
    ];
    for (rule, statement) in bad {
        let found = read("bad.rs", &format!("fn f() {{ {statement} }}"));
        assert!(
            found
                .iter()
                .any(|finding| finding.rule == rule && finding.function == "f"),
            "{statement}: {found:?}"
        );
    }
    let good = r#"
        fn f() {
            if reason == Reason::Conflict {}
            let _ = text.split(", ");
            let _ = name.strip_suffix(".rs");
            let text = format!("{message} of True and False");
            match key { "a" | "b-c" => {}, _ => {} }
        }
        #[cfg(test)]
        mod tests { fn g() { assert!(message == "it is gone"); } }
    "#;
    assert_eq!(read("good.rs", good), []);
}
