//! From a path to a node: the walk over names, symbolic links and mounts (Linux: `fs/namei.c`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_machine::fallible::{self, TryVec};

use super::access::{self, SEARCH};
use super::mount::Mounts;
use super::node::{Handle, Metadata, NodeKind, PATH_MAX, Target};
use crate::errno::Errno;
use crate::process::credentials::Credentials;

/// The most symbolic links that a walk follows.
const LINKS_MAX: usize = 40;

/// Where a walk begins, and what it sees.
#[derive(Clone)]
pub struct Start {
    /// What a path with a slash in front begins at, also where something is mounted over it, and what `..` never leaves.
    pub root: Handle,
    /// What other paths begin at.
    pub directory: Handle,
    /// What is mounted.
    pub mounts: Arc<Mounts>,
    /// On whose behalf.
    pub credentials: Credentials,
}

impl Start {
    /// Whether `node`, or what it holds, may be changed as far as its mount is concerned.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn check_mount(&self, node: &Metadata) -> Result<(), Errno> {
        if self.mounts.options_of(node.device).is_read_only() { Err(Errno::EROFS) } else { Ok(()) }
    }
}

/// What a walk does with a symbolic link at the path's end; others are always followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// It is followed.
    Yes,
    /// It is the end, unless a slash stands behind it.
    No,
    /// It is the end: the name is to be made, removed or moved.
    Never,
}

/// The end of a walk.
pub struct Resolved {
    /// The directory that the last name is in.
    pub parent: Handle,
    /// The last name.
    pub last: Last,
    /// What it leads to, if it exists.
    pub node: Option<Handle>,
    /// A slash stands behind the last name: only a directory can be meant.
    pub slash: bool,
}

/// A path's last part.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone))]
pub enum Last {
    /// A name.
    Name(Vec<u8>),
    /// Nothing but slashes.
    Root,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A link that leads to a node without a walk, which is shown with this path.
    Other(Vec<u8>),
}

impl Resolved {
    /// What was found.
    ///
    /// # Errors
    /// `ENOENT`.
    pub fn node(self) -> Result<Handle, Errno> {
        self.node.ok_or(Errno::ENOENT)
    }
}

/// Walks `path`.
///
/// # Errors
/// `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`, `ELOOP`, `EACCES`. That only the last name does not exist is none.
pub fn walk(start: &Start, path: &[u8], follow: Follow) -> Result<Resolved, Errno> {
    if path.is_empty() {
        return Err(Errno::ENOENT);
    }
    let mut rest = fallible::copy(path)?;
    let mut links = 0;
    let mut last = Last::Root;
    let mut at = Arc::clone(&start.directory);
    if path[0] == b'/' {
        at = Arc::clone(&start.root);
    }
    loop {
        if rest.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let Some(begin) = rest.iter().position(|byte| *byte != b'/') else {
            return Ok(Resolved { parent: Arc::clone(&at), last, node: Some(at), slash: false });
        };
        let end = rest[begin..].iter().position(|byte| *byte == b'/').map_or(rest.len(), |length| begin + length);
        let name = fallible::copy(&rest[begin..end])?;
        rest.drain(..end);
        let slash = !rest.is_empty();
        let is_last = rest.iter().all(|byte| *byte == b'/');

        let directory = at.metadata();
        if directory.kind != NodeKind::Directory {
            return Err(Errno::ENOTDIR);
        }
        access::check(&start.credentials, &directory, SEARCH)?;
        match &*name {
            b"." => {
                last = Last::Dot;
                continue;
            }
            b".." => {
                last = Last::DotDot;
                at = up(start, &at)?;
                continue;
            }
            _ => {}
        }
        let node = match at.lookup(&name) {
            Ok(node) => start.mounts.covering(node),
            Err(Errno::ENOENT) if is_last => {
                return Ok(Resolved { parent: at, last: Last::Name(name), node: None, slash });
            }
            Err(error) => return Err(error),
        };
        let kind = node.metadata().kind;
        let is_followed = !is_last || follow == Follow::Yes || follow == Follow::No && slash;
        if kind == NodeKind::Link && is_followed {
            links += 1;
            if links > LINKS_MAX {
                return Err(Errno::ELOOP);
            }
            match node.follow()? {
                Target::Node(node, _) if slash && node.metadata().kind != NodeKind::Directory => {
                    return Err(Errno::ENOTDIR);
                }
                Target::Node(node, path) if is_last => {
                    return Ok(Resolved { parent: at, last: Last::Other(path), node: Some(node), slash });
                }
                Target::Node(node, _) => at = node,
                Target::Path(path) => {
                    match path.first() {
                        None => return Err(Errno::ENOENT),
                        Some(b'/') => at = Arc::clone(&start.root),
                        Some(_) => {}
                    }
                    last = Last::Root;
                    let mut path = path;
                    path.try_extend(rest)?;
                    rest = path;
                }
            }
        } else if is_last {
            if slash && kind != NodeKind::Directory && follow != Follow::Never {
                return Err(Errno::ENOTDIR);
            }
            return Ok(Resolved { parent: at, last: Last::Name(name), node: Some(node), slash });
        } else {
            at = node;
        }
    }
}

/// The directory that a directory is in, across mounts; the root's is the root, or what is mounted over it.
fn up(start: &Start, directory: &Handle) -> Result<Handle, Errno> {
    let mut at = Arc::clone(directory);
    loop {
        if at.metadata().identity() == start.root.metadata().identity() {
            return Ok(start.mounts.covering(at));
        }
        match start.mounts.covered_by(&at) {
            Some(covered) => at = covered,
            None => return Ok(at.parent()?.map_or(at, |parent| start.mounts.covering(parent))),
        }
    }
}

/// The path of a directory from the root.
///
/// # Errors
/// `ENOENT` if it was removed; `ENAMETOOLONG` when it has [`PATH_MAX`] bytes, with the zero behind it, or more; `ENOMEM`.
pub fn path_of(start: &Start, directory: &Handle) -> Result<Vec<u8>, Errno> {
    // From its end to its beginning.
    let mut path = fallible::filled(0, PATH_MAX - 1)?;
    let mut begin = path.len();
    let mut at = Arc::clone(directory);
    while at.metadata().identity() != start.root.metadata().identity() {
        if let Some(covered) = start.mounts.covered_by(&at) {
            at = covered;
            continue;
        }
        let parent = at.parent()?.ok_or(Errno::ENOENT)?;
        let name = parent.name_of(at.metadata().inode)?.ok_or(Errno::ENOENT)?;
        let end = begin;
        begin = end.checked_sub(name.len() + 1).ok_or(Errno::ENAMETOOLONG)?;
        path[begin] = b'/';
        path[begin + 1..end].copy_from_slice(&name);
        at = parent;
    }
    if begin == path.len() {
        begin -= 1;
        path[begin] = b'/';
    }
    path.drain(..begin);
    Ok(path)
}

#[cfg(test)]
mod tests {
    use std::any::Any;
    use std::sync::{Arc, Mutex, MutexGuard};

    use super::{Follow, Last, Resolved, Start, path_of, walk};
    use crate::errno::Errno;
    use crate::fs::mount::{Mount, Mounts};
    use crate::fs::node::{Attributes, Entry, FilesystemUsage, Handle, Metadata, Node, NodeKind};
    use crate::fs::tree::{Body, Directory, Number, ROOT, Tree};
    use crate::process::credentials::Credentials;

    /// A node of a tree without contents; its `device` distinguishes trees.
    struct TreeNode {
        tree: Arc<Mutex<Tree<()>>>,
        device: u64,
        number: Number,
    }

    impl TreeNode {
        fn tree(&self) -> MutexGuard<'_, Tree<()>> {
            self.tree.lock().expect("no test panics with it")
        }

        fn at(&self, number: Number) -> Handle {
            Arc::new(Self { tree: Arc::clone(&self.tree), device: self.device, number })
        }
    }

    impl Node for TreeNode {
        fn as_any(&self) -> &dyn Any {
            self
        }

        fn metadata(&self) -> Metadata {
            let tree = self.tree();
            let node = tree.node(self.number);
            let attributes = node.attributes;
            let (kind, links) = (node.kind(), node.links());
            Metadata { device: self.device, inode: self.number, kind, links, attributes, size: 0, blocks: 0 }
        }

        fn usage(&self) -> FilesystemUsage {
            FilesystemUsage { magic: 0, pages: 0, free_pages: 0, nodes: 0, free_nodes: 0 }
        }

        fn read_link(&self) -> Result<Vec<u8>, Errno> {
            match &self.tree().node(self.number).body {
                Body::Link(target) => Ok(target.to_vec()),
                _ => Err(Errno::EINVAL),
            }
        }

        fn lookup(&self, name: &[u8]) -> Result<Handle, Errno> {
            let number = self.tree().lookup(self.number, name)?;
            Ok(self.at(number))
        }

        fn parent(&self) -> Result<Option<Handle>, Errno> {
            let number = self.tree().parent(self.number);
            Ok(number.map(|number| self.at(number)))
        }

        fn read_directory(&self, position: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
            let tree = self.tree();
            for entry in tree.names(self.number, position)? {
                let kind = tree.node(entry.number).kind();
                if !each(&Entry { position: entry.position, name: entry.name, inode: entry.number, kind }) {
                    break;
                }
            }
            Ok(())
        }
    }

    /// Directories end in a slash, links are `name>target`, everything else is a file.
    fn tree(device: u64, paths: &[&str]) -> Handle {
        let attributes = Attributes { permissions: 0o755, ..Attributes::default() };
        let mut tree = Tree::new(attributes).expect("memory");
        for path in paths {
            let (path, body) = match (path.strip_suffix('/'), path.split_once('>')) {
                (Some(path), _) => (path, Body::Directory(Directory::default())),
                (None, Some((path, target))) => (path, Body::Link(target.as_bytes().into())),
                (None, None) => (*path, Body::File(())),
            };
            let (parents, name) = path.rsplit_once('/').unwrap_or(("", path));
            let find = |at, name: &str| tree.lookup(at, name.as_bytes()).expect("made before");
            let parent = parents.split('/').filter(|name| !name.is_empty()).fold(ROOT, find);
            tree.create(parent, name.as_bytes(), attributes, body).expect("free");
        }
        Arc::new(TreeNode { tree: Arc::new(Mutex::new(tree)), device, number: ROOT })
    }

    fn start() -> Start {
        let root = tree(
            1,
            &["a/", "a/b/", "a/b/file", "a/up>..", "a/abs>/a/b", "loop>loop", "gone>none", "m/", "m/x", "nil>"],
        );
        let mounted = tree(2, &["inner/", "inner/file"]);
        let covered = root.lookup(b"m").expect("there");
        let mount = Mount::new("none", "tmpfs", "/m", Some(covered), mounted).expect("memory");
        let mounts = Arc::new(Mounts::new(vec![mount]));
        Start { directory: Arc::clone(&root), root, mounts, credentials: Credentials::SUPERUSER }
    }

    #[test]
    fn what_is_mounted_over_the_root_is_seen_from_above_it_alone() {
        let mut start = start();
        let mount = Mount::new("none", "tmpfs", "/", Some(Arc::clone(&start.root)), tree(3, &["over"]));
        start.mounts = Arc::new(start.mounts.with(mount.expect("memory")).expect("memory"));
        let device = |path: &str| {
            let node = walk(&start, path.as_bytes(), Follow::Yes).and_then(Resolved::node)?;
            Ok(node.metadata().device)
        };
        assert_eq!((device("/"), device("/a"), device("/m")), (Ok(1), Ok(1), Ok(2)));
        assert_eq!((device("/.."), device("/a/../../over"), device("/over")), (Ok(3), Ok(3), Err(Errno::ENOENT)));
    }

    fn found(path: &str, follow: Follow) -> Result<Resolved, Errno> {
        walk(&start(), path.as_bytes(), follow)
    }

    fn path(path: &str) -> Result<String, Errno> {
        let start = start();
        let found = walk(&start, path.as_bytes(), Follow::Yes)?;
        let (parent, last) = (Arc::clone(&found.parent), found.last.clone());
        let node = found.node()?;
        let text = |bytes| String::from_utf8(bytes).expect("letters");
        match (path_of(&start, &node), last) {
            (Ok(path), _) => Ok(text(path)),
            (Err(Errno::ENOENT), Last::Name(name)) => {
                Ok(format!("{}/{}", text(path_of(&start, &parent).expect("it has a name")), text(name)))
            }
            (Err(error), last) => panic!("{path}: {last:?} gave {error}"),
        }
    }

    #[test]
    fn paths_lead_where_they_say() {
        for (given, expected) in [
            ("/", "/"),
            ("a/b", "/a/b"),
            ("//a///b//", "/a/b"),
            ("a/./b/.", "/a/b"),
            ("a/b/..", "/a"),
            ("../../a", "/a"),
            ("a/up/a/abs/..", "/a"),
            ("a/b/file", "/a/b/file"),
        ] {
            assert_eq!(path(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn mounts_cover_what_lies_below_and_are_left_upwards() {
        assert_eq!(path("m/inner/file").as_deref(), Ok("/m/inner/file"));
        assert_eq!(path("m/x"), Err(Errno::ENOENT));
        assert_eq!(path("m/inner/../..").as_deref(), Ok("/"));
        assert_eq!(path("m/inner/../../a").as_deref(), Ok("/a"));
    }

    #[test]
    fn no_directory_lies_below_itself() {
        let Start { mounts, .. } = start();
        let (mounted, inside) = (mounts.all()[0].root(), mounts.all()[0].root().lookup(b"inner").expect("there"));
        let below_itself = Mount::new("none", "tmpfs", "/m/inner", Some(inside), Arc::clone(mounted)).expect("memory");
        assert_eq!(mounts.with(below_itself).err(), Some(Errno::EBUSY), "the way up would have no end");
    }

    #[test]
    fn a_walk_has_linuxs_errors() {
        for (given, error) in [
            ("", Errno::ENOENT),
            ("none", Errno::ENOENT),
            ("none/a", Errno::ENOENT),
            ("a/b/file/", Errno::ENOTDIR),
            ("a/b/file/.", Errno::ENOTDIR),
            ("a/b/file/..", Errno::ENOTDIR),
            ("a/b/file/x", Errno::ENOTDIR),
            ("loop", Errno::ELOOP),
            ("gone", Errno::ENOENT),
            ("nil", Errno::ENOENT),
            (&"x".repeat(256), Errno::ENAMETOOLONG),
            (&"a/b/../../".repeat(500), Errno::ENAMETOOLONG),
        ] {
            assert_eq!(path(given), Err(error), "{given}");
        }
    }

    #[test]
    fn the_last_link_is_followed_where_it_is_meant() {
        let kind = |path, follow| found(path, follow)?.node().map(|node| node.metadata().kind);
        assert_eq!(kind("a/abs", Follow::Yes), Ok(NodeKind::Directory));
        assert_eq!(kind("a/abs", Follow::No), Ok(NodeKind::Link));
        assert_eq!(kind("a/abs/", Follow::No), Ok(NodeKind::Directory));
        assert_eq!(kind("a/abs/", Follow::Never), Ok(NodeKind::Link), "what is to become of it is the caller's to say");
        let created = found("gone", Follow::Yes).expect("only the last name is missing");
        assert_eq!(created.last, Last::Name(b"none".to_vec()), "a file is created where the link leads");
    }

    #[test]
    fn the_last_part_is_known_for_what_it_is() {
        for (given, last) in
            [("/", Last::Root), ("a/.", Last::Dot), ("a/..", Last::DotDot), ("a/b", Last::Name(b"b".to_vec()))]
        {
            assert_eq!(found(given, Follow::Never).expect("there").last, last, "{given}");
        }
        assert!(found("new/", Follow::Never).expect("only the last name is missing").slash);
    }
}
