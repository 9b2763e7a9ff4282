//! Stacks of layers mean what the specification says: compared with a model that applies a layer in two
//! steps, first what it hides of those below, then what it holds.

use crate::archive::{Item, archive};
use crate::layout::build_archives;
use crate::tools::{check, mount};
use crate::unpacked;
use proptest::prelude::*;
use std::collections::BTreeMap;
use stillpoint_images::layers::apply::Applier;
use stillpoint_images::layers::archive::Archive;
use stillpoint_images::limits::Limits;
use stillpoint_images::spool::Spool;
use stillpoint_images::tree::{Kind, NodeId, Tree};

/// One thing that a layer says, of a path of names out of few.
#[derive(Debug, Clone)]
enum Say {
    /// How long, and what of.
    File(usize, u8),
    Directory(u32),
    Symlink,
    Fifo,
    HardLink(Vec<usize>),
    Whiteout,
    Opaque,
}

type Path = Vec<usize>;

fn path() -> impl Strategy<Value = Path> {
    prop::collection::vec(0..3_usize, 1..4)
}

fn layer() -> impl Strategy<Value = Vec<(Path, Say)>> {
    let say = prop_oneof![
        4 => (0..6000_usize, any::<u8>()).prop_map(|(length, of)| Say::File(length, of)),
        4 => (0..0o7777_u32).prop_map(Say::Directory),
        1 => Just(Say::Symlink),
        1 => Just(Say::Fifo),
        2 => path().prop_map(Say::HardLink),
        3 => Just(Say::Whiteout),
        1 => Just(Say::Opaque),
    ];
    prop::collection::vec((path(), say), 0..14)
}

/// The model's state of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    /// Its mode; none of one that no layer describes.
    Directory(Option<u32>),
    /// Which file it is: hard links have one number.
    Other(usize, Vec<u8>, char),
}

type Model = BTreeMap<Path, Thing>;

fn is_below(path: &[usize], directory: &[usize]) -> bool {
    path.len() > directory.len() && path.starts_with(directory)
}

/// The parents of a path are directories, or not there yet.
fn is_reachable(model: &Model, path: &[usize]) -> bool {
    (1..path.len()).all(|end| matches!(model.get(&path[..end]), None | Some(Thing::Directory(_))))
}

fn add(model: &mut Model, path: &[usize], thing: Thing) {
    for end in 1..path.len() {
        model.entry(path[..end].to_vec()).or_insert(Thing::Directory(None));
    }
    if !matches!((model.get(path), &thing), (Some(Thing::Directory(_)), Thing::Directory(_))) {
        model.retain(|other, _| !is_below(other, path));
    }
    model.insert(path.to_vec(), thing);
}

/// Applies a layer; gives back what of it could be said.
fn apply(model: &mut Model, layer: &[(Path, Say)], numbers: &mut usize) -> Vec<(Path, Say)> {
    let before = model.clone();
    for (path, say) in layer {
        // A whiteout belongs to its directory; behind a file there is none.
        match say {
            Say::Whiteout if is_reachable(&before, path) => {
                model.retain(|other, _| other != path && !is_below(other, path));
            }
            Say::Opaque
                if matches!(before.get(path), Some(Thing::Directory(_)))
                    && is_reachable(&before, path) =>
            {
                model.retain(|other, _| !is_below(other, path));
            }
            _ => {}
        }
    }
    // An archive's order does not say whether what is hidden is hidden yet: what depends on it is left out.
    let mut unhidden = before.clone();
    let mut said = Vec::new();
    for (path, say) in layer {
        match say {
            Say::Whiteout | Say::Opaque => {
                let is_directory = matches!(before.get(path), Some(Thing::Directory(_)));
                if is_reachable(&before, path) && (matches!(say, Say::Whiteout) || is_directory) {
                    said.push((path.clone(), say.clone()));
                }
                continue;
            }
            _ if !is_reachable(&unhidden, path) || !is_reachable(model, path) => continue,
            _ => {}
        }
        *numbers += 1;
        let thing = match say {
            Say::File(length, of) => Thing::Other(*numbers, vec![*of; *length], '0'),
            Say::Directory(mode) => Thing::Directory(Some(*mode)),
            Say::Symlink => Thing::Other(*numbers, b"nowhere/at-all".to_vec(), '2'),
            Say::Fifo => Thing::Other(*numbers, Vec::new(), '6'),
            Say::HardLink(target) => match (model.get(target), unhidden.get(target)) {
                (Some(found @ Thing::Other(..)), Some(same))
                    if found == same && !is_below(target, path) =>
                {
                    found.clone()
                }
                _ => continue,
            },
            Say::Whiteout | Say::Opaque => continue,
        };
        add(model, path, thing.clone());
        add(&mut unhidden, path, thing);
        said.push((path.clone(), say.clone()));
    }
    said
}

fn name(path: &[usize]) -> String {
    path.iter().map(|part| ["a", "b", "c"][*part]).collect::<Vec<_>>().join("/")
}

fn items(layer: &[(Path, Say)]) -> Vec<Item> {
    layer
        .iter()
        .map(|(path, say)| match say {
            Say::File(length, of) => Item::file(name(path), vec![*of; *length]),
            Say::Directory(mode) => Item { mode: *mode, ..Item::directory(name(path)) },
            Say::Symlink => Item::symlink(name(path), "nowhere/at-all"),
            Say::Fifo => Item::new(b'6', name(path)),
            Say::HardLink(target) => Item::link(name(path), name(target)),
            Say::Whiteout => {
                let (last, parents) = path.split_last().unwrap();
                let last = name(&[*last]);
                Item::file([name(parents), format!(".wh.{last}")].join("/"), "")
            }
            Say::Opaque => Item::file(format!("{}/.wh..wh..opq", name(path)), ""),
        })
        .collect()
}

/// The tree, as the model would have it.
fn modelled(applier: Applier) -> Model {
    let Applier { tree, spool, .. } = applier;
    let contents = spool.finish().unwrap();
    let mut model = Model::new();
    let mut pending = vec![(NodeId::ROOT, Path::new())];
    while let Some((id, path)) = pending.pop() {
        for (name, link) in tree.children(id).into_iter().flatten() {
            let mut path = path.clone();
            path.push(usize::from(name[0] - b'a'));
            let node = tree.node(link.node);
            let thing = match &node.kind {
                Kind::Directory { .. } => {
                    let is_implied = node.attributes == Tree::default().implied();
                    Thing::Directory((!is_implied).then(|| u32::from(node.attributes.mode)))
                }
                Kind::File(content) => {
                    let mut data = vec![0; content.size as usize];
                    contents.read(&mut data, content.spooled_at).unwrap();
                    Thing::Other(link.node.index(), data, '0')
                }
                Kind::SymbolicLink(text) => Thing::Other(link.node.index(), text.to_vec(), '2'),
                _ => Thing::Other(link.node.index(), Vec::new(), '6'),
            };
            model.insert(path.clone(), thing);
            pending.push((link.node, path));
        }
    }
    model
}

/// Numbers of files by the order of their first names, so that two trees can be compared.
fn renumbered(model: &Model) -> Model {
    let mut numbers = BTreeMap::new();
    let mut renumbered = model.clone();
    for thing in renumbered.values_mut() {
        if let Thing::Other(number, ..) = thing {
            let next = numbers.len();
            *number = *numbers.entry(*number).or_insert(next);
        }
    }
    renumbered
}

fn stacked(layers: &[Vec<(Path, Say)>]) -> (Model, Vec<Vec<u8>>) {
    let (mut model, mut numbers) = (Model::new(), 0);
    let archives =
        layers.iter().map(|layer| archive(&items(&apply(&mut model, layer, &mut numbers))));
    let archives = archives.collect();
    (renumbered(&model), archives)
}

fn cases(usual: u32) -> ProptestConfig {
    let cases =
        std::env::var("STILLPOINT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn layers_mean_what_the_specification_says(layers in prop::collection::vec(layer(), 1..5)) {
        let (model, archives) = stacked(&layers);
        let folder = tempfile::tempdir().unwrap();
        let mut applier = Applier::new(Spool::new(folder.path()).unwrap(), Limits::default());
        for (at, bytes) in archives.iter().enumerate() {
            applier.apply(at, &mut Archive::new(bytes.as_slice(), at), &|| Ok(())).unwrap();
        }
        prop_assert_eq!(renumbered(&modelled(applier)), model);
    }
}

/// The last inode is the end of the last block, and no data comes after it: `fsck.erofs` reads on behind it.
#[test]
fn an_image_goes_on_behind_its_last_inode() {
    let below = vec![(vec![1], Say::File(3713, 0))];
    let above = vec![
        (vec![2, 1], Say::Fifo),
        (vec![0, 0], Say::File(0, 0)),
        (vec![2, 0], Say::Directory(0)),
    ];
    let (_, archives) = stacked(&[below, above]);
    check(&build_archives(&archives, Limits::default()).unwrap().file());
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn the_kernel_sees_what_the_layers_mean(layers in prop::collection::vec(layer(), 1..5)) {
        let (model, archives) = stacked(&layers);
        let built = build_archives(&archives, Limits::default()).unwrap();
        check(&built.file());
        let Some(mounted) = mount(&built.file()) else { return Ok(()) };
        let files = unpacked::read(&mounted.at);
        prop_assert_eq!(files.len(), model.len() + 1);
        for (path, thing) in &model {
            let found = &files[name(path).as_bytes()];
            match thing {
                Thing::Directory(mode) => prop_assert_eq!(found.mode & 0o7777, mode.unwrap_or(0o755)),
                Thing::Other(_, data, '0') => prop_assert_eq!(found.content, Some(blake3::hash(data))),
                Thing::Other(_, text, '2') => prop_assert_eq!(found.target.as_ref(), Some(text)),
                Thing::Other(..) => prop_assert_eq!(found.mode & libc::S_IFMT, libc::S_IFIFO),
            }
        }
    }
}
