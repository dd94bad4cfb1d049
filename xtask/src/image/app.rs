//! An app's image, `NAME.img`: what the supervisor starts its services from.
//!
//! ```text
//! /app.yaml                     the manifest
//! /policies/NAME.seccomp        what each service may ask of the kernel, and why
//! /policies/NAME.bpf            the same compiled for the machine of the image
//! /roots/NAME/…                 the file system of each, with its mount points
//! /licences/PACKAGE/copyright   of Debian's packages in any root
//! /packages.txt                 these packages and their versions
//! ```
//!
//! `NAME.verity` opens it and `NAME.sig` is the signature over `NAME.verity`;
//! `init/src/app_image.rs` reads all three.

use super::architecture::Architecture;
use super::assemble;
use super::programs::Programs;
use super::root::Root;
use super::sign::AppKey;
use super::squashfs;
use super::step::{Key, Steps, sibling};
use super::tree::{Node, Tree};
use anyhow::{Context, Result, bail};
use manifest::{Argument, Ids, Service};
use sandbox::policy;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The devices in every sandbox; `services::spec` names them.
const DEVICES: [&str; 3] = ["dev/null", "dev/zero", "dev/random"];

/// What an app is made of, checked.
#[derive(Debug)]
pub struct Source {
    app: manifest::App,
    /// The manifest as it stands.
    text: String,
    /// Name and text.
    policies: BTreeMap<String, String>,
    /// What they are compiled for.
    architecture: Architecture,
    /// Each root that a service names, once.
    pub roots: Vec<Root>,
    names: Vec<String>,
}

/// The files of a finished app.
#[derive(Debug)]
pub struct App {
    /// Its name, which begins the names of its files.
    pub name: String,
    /// The image with its hash tree.
    pub image: PathBuf,
    /// The lines that it is opened with.
    pub verity: PathBuf,
    /// The signature over those.
    pub signature: PathBuf,
    /// Packages and their versions, for people.
    pub packages: PathBuf,
}

impl Source {
    /// The same app for another machine than the box.
    pub fn for_machine(mut self, architecture: Architecture) -> Self {
        let roots = self.roots.into_iter();
        self.roots = roots.map(|root| root.for_machine(architecture)).collect();
        self.architecture = architecture;
        self
    }

    /// Reads `apps/NAME/` below `source`, with the policies and the roots that
    /// its manifest names. Fails with the manifest's or policy's own message.
    pub fn read(source: &Path, name: &str) -> Result<Self> {
        let folder = format!("apps/{name}");
        let file = format!("{folder}/app.yaml");
        let text = fs::read_to_string(source.join(&file))
            .with_context(|| format!("{file}: cannot be read"))?;
        let app = match manifest::read(&file, &text) {
            Ok(app) => app,
            Err(error) => bail!("{error}"),
        };
        if app.name.as_str() != name {
            bail!(
                "{file}: app: the name is {}; the folder says {name}",
                app.name
            );
        }
        let mut policies = BTreeMap::new();
        let mut names = BTreeSet::new();
        for service in &app.services {
            let path = format!("{folder}/policies/{}", service.policy);
            let policy = fs::read_to_string(source.join(&path)).with_context(|| {
                format!(
                    "{path}: cannot be read; {file} names it for {}",
                    service.name
                )
            })?;
            policy::load_str(&path, &policy)?;
            policies.insert(service.policy.clone(), policy);
            let root = service.root.as_str();
            if !source.join(format!("rootfs/{root}.yaml")).is_file() {
                bail!(
                    "rootfs/{root}.yaml: does not exist; {file} names it for {}",
                    service.name
                );
            }
            names.insert(root.to_owned());
        }
        let roots = names.iter().map(|name| Root::read(source, name));
        Ok(Self {
            roots: roots.collect::<Result<_>>()?,
            names: names.into_iter().collect(),
            app,
            text,
            policies,
            architecture: Architecture::default(),
        })
    }

    /// The files in `/policies`: each text, and what it is compiled to.
    fn policy_files(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        for (name, text) in &self.policies {
            let compiled = policy::compile(name, text, self.architecture.of_policies())?;
            let file = Path::new(name).with_extension(policy::COMPILED);
            files.insert(file.to_string_lossy().into_owned(), compiled.to_bytes());
            files.insert(name.clone(), text.clone().into_bytes());
        }
        Ok(files)
    }
}

/// Makes the image and signs it. `tars` are the unpacked packages of its
/// roots, in their order.
pub fn make(
    steps: &Steps,
    source: &Source,
    tars: &[Option<PathBuf>],
    programs: &Programs,
    app_key: &AppKey,
) -> Result<App> {
    let name = source.app.name.to_string();
    let folder = steps.cache().join(format!("app-{name}"));
    let key = key(source, tars, programs)?.text(include_str!("squashfs.rs"));
    let app = App {
        image: folder.join("app.img"),
        verity: folder.join("app.verity"),
        packages: folder.join("packages.txt"),
        signature: sibling(&folder, ".sig"),
        name,
    };
    steps.make(&format!("{} image", app.name), key, &folder, |new| {
        let tree = tree(source, tars, programs)?;
        fs::create_dir_all(new)?;
        fs::write(new.join("packages.txt"), tree.file("packages.txt")?)?;
        let [image, verity] = ["app.img", "app.verity"].map(|file| new.join(file));
        squashfs::make_named(&tree, &image, &verity, &app.name)
    })?;
    let key = Key::new(include_str!("sign.rs"))
        .text(&app_key.public_text())
        .file(&app.verity)?;
    steps.make(
        &format!("{} signature", app.name),
        key,
        &app.signature,
        |new| Ok(fs::write(new, app_key.sign(&fs::read(&app.verity)?))?),
    )?;
    Ok(app)
}

/// Lays the app's content out in a folder, not packed and not signed: what
/// the runtime is given as the mounted image.
pub fn lay_out(
    steps: &Steps,
    source: &Source,
    tars: &[Option<PathBuf>],
    programs: &Programs,
    folder: &Path,
) -> Result<()> {
    let key = key(source, tars, programs)?;
    steps.make(&format!("{} folder", source.app.name), key, folder, |new| {
        tree(source, tars, programs)?.write_to(new)
    })?;
    Ok(())
}

/// Everything that the content is made of.
fn key(source: &Source, tars: &[Option<PathBuf>], programs: &Programs) -> Result<Key> {
    let mut key = Key::new(include_str!("app.rs")).text(&source.text);
    for (name, content) in source.policy_files()? {
        key = key.text(&name).bytes(&content);
    }
    for (root, tar) in source.roots.iter().zip(tars) {
        key = assemble::key(key, root, tar.as_deref(), programs)?;
    }
    Ok(key)
}

/// The whole content.
fn tree(source: &Source, tars: &[Option<PathBuf>], programs: &Programs) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.put_file("app.yaml", source.text.as_str());
    for (name, content) in source.policy_files()? {
        tree.put_file(&format!("policies/{name}"), content);
    }
    let mut packages = BTreeSet::new();
    for ((name, root), tar) in source.names.iter().zip(&source.roots).zip(tars) {
        let mut assembled = assemble::assemble(root, tar.as_deref(), programs)?;
        let of_root = |service: &&Service| service.root.as_str() == name;
        check_programs(source, root, name)?;
        for service in source.app.services.iter().filter(of_root) {
            prepare_for(service, &mut assembled.tree)
                .with_context(|| format!("{}, for the service {}", root.name, service.name))?;
        }
        tree.put(&format!("roots/{name}"), Node::Folder(0o755));
        for (path, node) in assembled.tree.iter() {
            tree.put(&format!("roots/{name}/{path}"), node.clone());
        }
        packages.extend(assembled.packages);
        for (package, text) in assembled.licences {
            tree.put_file(&format!("licences/{package}/copyright"), text);
        }
    }
    let lines = packages
        .into_iter()
        .map(|(name, version)| format!("{name} {version}\n"));
    tree.put_file("packages.txt", lines.collect::<String>());
    Ok(tree)
}

/// Makes the places that the sandbox mounts at, as the root is read-only, and
/// looks for the program.
fn prepare_for(service: &Service, root: &mut Tree) -> Result<()> {
    for device in DEVICES {
        place(root, device, Node::File(0o644, Vec::new()))?;
    }
    let volumes = service.volumes.iter().map(|volume| &volume.path);
    let scratch = service.scratch.iter().map(|scratch| &scratch.path);
    let mut folders: Vec<&Path> = volumes.chain(scratch).map(PathBuf::as_path).collect();
    // As `services::spec` has it.
    if service.ids == Ids::Range {
        folders.push(Path::new("/proc"));
    }
    for path in folders {
        place(root, &path.to_string_lossy(), Node::Folder(0o755))?;
    }
    let Some(Argument::Text(program)) = service.run.first() else {
        bail!("run: begins with no program");
    };
    match root.get(program) {
        Some(Node::File(mode, _)) if mode & 0o111 != 0 => Ok(()),
        _ => bail!("run: {program} is no program in this root"),
    }
}

/// That a service may execute each of our programs in its root: one that it can't
/// start is of no use, and what starts it may not say why it failed.
fn check_programs(source: &Source, root: &Root, name: &str) -> Result<()> {
    let services = source.app.services.iter();
    let services: Vec<&Service> = services
        .filter(|service| service.root.as_str() == name)
        .collect();
    for part in &root.programs {
        let path = Path::new("/").join(&part.folder).join(part.file_name());
        if !services.iter().any(|service| may_execute(service, &path)) {
            bail!(
                "{}: no service may execute {}; put it where one may, or name it in `programs` of the app.yaml",
                root.name,
                path.display()
            );
        }
    }
    Ok(())
}

/// As `services::spec` has it: everything else is noexec.
fn may_execute(service: &Service, path: &Path) -> bool {
    let program = match service.run.first() {
        Some(Argument::Text(program)) => Some(Path::new(program)),
        _ => None,
    };
    let more = service.programs.iter().map(PathBuf::as_path);
    program
        .into_iter()
        .chain(more)
        .any(|one| path.starts_with(one))
}

/// Puts `node` at `path` unless something like it is there already.
fn place(root: &mut Tree, path: &str, node: Node) -> Result<()> {
    let path = path.trim_start_matches('/');
    for (end, _) in path.match_indices('/') {
        if !matches!(root.get(&path[..end]), None | Some(Node::Folder(_))) {
            bail!(
                "/{path}: cannot be a mount point; /{} is no folder",
                &path[..end]
            );
        }
    }
    match (root.get(path), &node) {
        (None, _) => root.put(path, node),
        (Some(Node::Folder(_)), Node::Folder(_)) | (Some(Node::File(..)), Node::File(..)) => {}
        _ => bail!("/{path}: cannot be a mount point; something else is there"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
app: email
services:
  signer:
    run: [/signer, serve]
    lifetime: daemon
    ids: range
    volumes: [{ name: keys, path: /var/keys, mode: rw }]
    scratch: [{ path: /run/x, size: 1M }]
    limits: { memory: 32M, tasks: 4, files: 64, file-size: 1M }
";

    fn app(text: &str) -> manifest::App {
        manifest::read("app.yaml", text).unwrap()
    }

    fn root() -> Tree {
        let mut root = Tree::default();
        root.put_program("signer", b"program".to_vec());
        root
    }

    /// A repository with this manifest.
    fn repository(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("apps/email/app.yaml", text);
        write("apps/email/policies/signer.seccomp", "read # requests\n");
        write("rootfs/signer.yaml", "folders: [/empty]\n");
        folder
    }

    fn refused(folder: &Path) -> String {
        format!("{:#}", Source::read(folder, "email").unwrap_err())
    }

    #[test]
    fn a_root_gets_every_place_that_its_service_is_mounted_at() {
        let mut root = root();
        prepare_for(app(MANIFEST).service("signer").unwrap(), &mut root).unwrap();
        for folder in ["proc", "run/x", "var/keys"] {
            assert_eq!(root.get(folder), Some(&Node::Folder(0o755)), "{folder}");
        }
        for device in ["dev/null", "dev/zero", "dev/random"] {
            assert_eq!(root.file(device).unwrap(), b"", "{device}");
        }
    }

    #[test]
    fn a_service_of_one_id_has_no_place_for_proc() {
        let mut root = root();
        let text = MANIFEST.replace("    ids: range\n", "");
        prepare_for(app(&text).service("signer").unwrap(), &mut root).unwrap();
        assert_eq!(root.get("proc"), None);
    }

    #[test]
    fn a_place_that_is_taken_by_something_else_is_refused() {
        let error = |path: &str, node: Node| {
            let mut root = root();
            root.put(path, node);
            let error = prepare_for(app(MANIFEST).service("signer").unwrap(), &mut root);
            error.unwrap_err().to_string()
        };
        let link = || Node::Link("../run".into());
        assert!(error("var", link()).contains("/var is no folder"));
        assert!(error("var/keys", link()).contains("/var/keys: cannot"));
        assert!(error("dev/null", Node::Folder(0o755)).contains("/dev/null: cannot"));
        assert!(error("signer", Node::Folder(0o755)).contains("/signer is no program"));
        let text = Node::File(0o644, b"text".to_vec());
        assert!(error("signer", text).contains("/signer is no program"));
    }

    #[test]
    fn a_program_of_ours_is_executed_where_the_manifest_says_so() {
        let text = MANIFEST.replace(
            "    lifetime: daemon\n",
            "    programs: [/usr/lib]\n    lifetime: daemon\n",
        );
        let app = app(&text);
        let may = |path: &str| may_execute(&app.services[0], Path::new(path));
        assert!(may("/signer") && may("/usr/lib/more/helper"));
        assert!(!may("/signer2") && !may("/usr/libexec/helper"));
    }

    #[test]
    fn every_program_of_ours_in_this_repository_s_apps_may_be_executed() {
        for name in super::super::APPS {
            let source = Source::read(crate::workspace::root(), name).unwrap();
            for (root, of) in source.roots.iter().zip(&source.names) {
                check_programs(&source, root, of).unwrap();
            }
        }
    }

    #[test]
    fn each_policy_lies_in_the_image_as_text_and_compiled_for_its_machine() {
        let text = "execve # start\n";
        let folder = repository(MANIFEST);
        let policy = folder.path().join("apps/email/policies/signer.seccomp");
        fs::write(policy, text).unwrap();
        for architecture in [Architecture::Arm64, Architecture::Amd64] {
            let source = Source::read(folder.path(), "email").unwrap();
            let files = source.for_machine(architecture).policy_files().unwrap();
            let names: Vec<&String> = files.keys().collect();
            assert_eq!(names, ["signer.bpf", "signer.seccomp"]);
            assert_eq!(files["signer.seccomp"], text.as_bytes());
            let compiled = &files["signer.bpf"];
            let loaded = policy::load_compiled("signer.seccomp", text, "signer.bpf", compiled);
            match architecture == Architecture::here().unwrap() {
                true => assert!(loaded.unwrap().allows("execve")),
                false => assert!(loaded.unwrap_err().to_string().contains("this machine is")),
            }
        }
        // The box's, unless another machine is named.
        let source = Source::read(folder.path(), "email").unwrap();
        assert_eq!(source.architecture, Architecture::Arm64);
    }

    #[test]
    fn a_wrong_manifest_is_refused_with_its_own_message() {
        let folder = repository(&MANIFEST.replace("memory: 32M", "memory: 32X"));
        let error = refused(folder.path());
        assert!(error.starts_with("apps/email/app.yaml:"), "{error}");
        assert!(error.contains("services.signer.limits.memory"), "{error}");
        let folder = repository(&MANIFEST.replace("app: email", "app: post"));
        assert!(refused(folder.path()).contains("the folder says email"));
    }

    #[test]
    fn a_policy_or_root_that_is_missing_or_wrong_is_named() {
        let folder = repository(MANIFEST);
        Source::read(folder.path(), "email").unwrap();
        let policy = folder.path().join("apps/email/policies/signer.seccomp");
        fs::write(&policy, "read\n").unwrap();
        let error = refused(folder.path());
        assert!(
            error.starts_with("apps/email/policies/signer.seccomp:1: no reason"),
            "{error}"
        );
        fs::remove_file(&policy).unwrap();
        let error = refused(folder.path());
        assert!(
            error.contains("policies/signer.seccomp: cannot be read"),
            "{error}"
        );
        let folder = repository(MANIFEST);
        fs::remove_file(folder.path().join("rootfs/signer.yaml")).unwrap();
        assert!(refused(folder.path()).contains("rootfs/signer.yaml: does not exist"));
    }

    #[test]
    fn the_app_in_this_repository_is_whole() {
        for name in super::super::APPS {
            Source::read(crate::workspace::root(), name).unwrap();
        }
    }
}
