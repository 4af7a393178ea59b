//! A crate's modules as its source declares them, and which file each path in them leads to.
//!
//! A name that is imported counts as what it is in the file that defines it, however many modules re-export it. What is
//! compiled for tests alone does not count, nor do links in documentation.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, ItemUse, Macro, UseTree, VisRestricted, ext::IdentExt, visit::Visit};

/// Which files each file imports.
pub(super) type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The modules of one crate, the root first.
#[derive(Default)]
struct Crate {
    modules: Vec<Module>,
}

#[derive(Default)]
struct Module {
    file: PathBuf,
    parent: Option<usize>,
    children: HashMap<String, usize>,
    /// What is defined here, by name, and where; a macro that is exported is defined in the root.
    items: HashMap<String, PathBuf>,
    /// What names mean that are imported from elsewhere.
    imported: HashMap<String, Names>,
    globs: Vec<Names>,
    /// Every path of two names or more.
    paths: HashSet<Names>,
}

/// The names of a path, from the first to the last.
type Names = Vec<String>;

/// The imports of the crate with this root, by files.
pub(super) fn imports(root: &Path) -> Imports {
    let mut found = Crate::default();
    found.modules.push(Module { file: root.to_owned(), ..Module::default() });
    found.read(0, root, root.parent().unwrap());
    let mut imports = Imports::new();
    for (index, module) in found.modules.iter().enumerate() {
        let to = imports.entry(module.file.clone()).or_default();
        let files = module.paths.iter().filter_map(|path| found.resolve(index, path, 0));
        to.extend(files.filter(|file| *file != module.file));
    }
    imports
}

impl Crate {
    /// Reads the file of a module whose children are in `directory`.
    fn read(&mut self, module: usize, file: &Path, directory: &Path) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add_items(module, &parsed.items, file, directory);
    }

    fn add_items(&mut self, module: usize, items: &[Item], file: &Path, directory: &Path) {
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            if let Item::Mod(declared) = item {
                let name = declared.ident.unraw().to_string();
                let child = self.modules.len();
                self.modules.push(Module { parent: Some(module), ..Module::default() });
                self.modules[module].children.insert(name.clone(), child);
                let inside = directory.join(&name);
                if let Some((_, items)) = &declared.content {
                    self.modules[child].file = PathBuf::from(file);
                    self.add_items(child, items, file, &inside);
                } else {
                    let own = directory.join(format!("{name}.rs"));
                    let path = explicit_path(&declared.attrs).map(|path| file.parent().unwrap().join(path));
                    let path = path.unwrap_or_else(|| if own.is_file() { own } else { inside.join("mod.rs") });
                    self.modules[child].file.clone_from(&path);
                    self.read(child, &path, &inside);
                }
                continue;
            }
            if let Some(name) = name(item) {
                self.modules[module].items.insert(name.clone(), file.to_owned());
                if matches!(item, Item::Macro(_)) && has(attributes(item), "macro_export") {
                    self.modules[0].items.insert(name, file.to_owned());
                }
            }
            Paths(&mut self.modules[module]).visit_item(item);
        }
    }

    /// The file that defines what `path` names in a module; `None` if that is not in this crate.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<PathBuf> {
        // Two modules that import all of one another find a name in neither.
        const DEEPEST: usize = 32;
        let (first, rest) = path.split_first().filter(|_| depth < DEEPEST)?;
        match first.as_str() {
            "crate" => Some(self.inside(0, rest, depth)),
            "self" => Some(self.inside(module, rest, depth)),
            "super" => Some(self.inside(self.modules[module].parent?, rest, depth)),
            _ => self.named(module, first, rest, depth),
        }
    }

    /// The same for the rest of a path that has led to a module.
    fn inside(&self, module: usize, path: &[String], depth: usize) -> PathBuf {
        let own = || self.modules[module].file.clone();
        match path.split_first() {
            Some((first, rest)) if first == "super" => {
                self.modules[module].parent.map_or_else(own, |parent| self.inside(parent, rest, depth))
            }
            // What a macro defines is where the macro is used.
            Some((first, rest)) => self.named(module, first, rest, depth).unwrap_or_else(own),
            None => own(),
        }
    }

    fn named(&self, module: usize, name: &str, rest: &[String], depth: usize) -> Option<PathBuf> {
        let here = &self.modules[module];
        if let Some(child) = here.children.get(name) {
            return Some(self.inside(*child, rest, depth));
        }
        if let Some(file) = here.items.get(name) {
            return Some(file.clone());
        }
        if let Some(path) = here.imported.get(name).filter(|path| path[..] != [name]) {
            return self.resolve(module, &[path, rest].concat(), depth + 1);
        }
        let from_globs = here.globs.iter().filter_map(|glob| self.module(module, glob));
        from_globs.filter(|from| *from != module && depth < 8).find_map(|from| self.named(from, name, rest, depth + 1))
    }

    /// The module of this path.
    fn module(&self, from: usize, path: &[String]) -> Option<usize> {
        path.iter().enumerate().try_fold(from, |module, (position, name)| match name.as_str() {
            "crate" => Some(0),
            "self" => Some(module),
            "super" => self.modules[module].parent,
            _ if position == 0 || path[0] != *name => self.modules[module].children.get(name).copied(),
            _ => None,
        })
    }
}

/// Gathers the paths of one item.
struct Paths<'a>(&'a mut Module);

impl Paths<'_> {
    fn add_use(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.unraw().to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_use(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_use(tree, before)),
            UseTree::Glob(_) => {
                self.0.paths.insert(before.to_vec());
                self.0.globs.push(before.to_vec());
            }
            UseTree::Name(name) => self.add_import(with(&name.ident), None),
            UseTree::Rename(name) => self.add_import(with(&name.ident), Some(name.rename.unraw().to_string())),
        }
    }

    fn add_import(&mut self, mut path: Names, name: Option<String>) {
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        let name = name.or_else(|| path.last().cloned());
        self.0.imported.extend(name.filter(|name| name != "_").map(|name| (name, path.clone())));
        self.0.paths.insert(path);
    }

    /// Paths in what a macro is given, which need not be Rust.
    fn add_tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Names::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add_path(std::mem::take(&mut path));
                    }
                    path.push(name.unraw().to_string());
                    colons = 0;
                }
                other => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add_path(path);
    }

    /// A single name is imported, or defined in the same module.
    fn add_path(&mut self, path: Names) {
        if path.len() > 1 {
            self.0.paths.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &'ast Macro) {
        self.visit_path(&invoked.path);
        self.add_tokens(invoked.tokens.clone());
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// What the item defines.
fn name(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.unraw().to_string())
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident(name))
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let condition = |attribute: &&Attribute| attribute.path().is_ident("cfg");
    attributes.iter().filter(condition).any(|attribute| {
        attribute.parse_args::<syn::Meta>().is_ok_and(|condition| match condition {
            syn::Meta::Path(path) => path.is_ident("test"),
            syn::Meta::List(list) => list.path.is_ident("all") && list.tokens.to_string().starts_with("test"),
            syn::Meta::NameValue(_) => false,
        })
    })
}

/// The file that a module's `path` attribute names.
fn explicit_path(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    match &attribute.meta.require_name_value().ok()?.value {
        syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
        _ => None,
    }
}
