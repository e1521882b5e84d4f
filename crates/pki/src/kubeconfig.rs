//! Kubeconfigs: written for one cluster and one user, read as far as a client needs the current context. It never changes a
//! file that somebody else wrote.
use crate::{Error, file};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Larger files are not read.
const MAX_BYTES: usize = 1 << 20;

/// The current context of a kubeconfig, with files already read. PEM texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kubeconfig {
    /// `https://host:port`.
    pub server: String,
    pub ca: Option<String>,
    pub tls_server_name: Option<String>,
    pub insecure: bool,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub token: Option<String>,
    /// Read again for each request: projected tokens change.
    pub token_file: Option<PathBuf>,
    pub namespace: Option<String>,
}

impl Kubeconfig {
    /// With a client certificate.
    pub fn for_pair(server: &str, ca: &str, cert: &str, key: &str) -> Kubeconfig {
        Kubeconfig {
            server: server.into(),
            ca: Some(ca.into()),
            client_cert: Some(cert.into()),
            client_key: Some(key.into()),
            ..Kubeconfig::default()
        }
    }

    pub fn for_token(server: &str, ca: &str, token: &str) -> Kubeconfig {
        Kubeconfig { server: server.into(), ca: Some(ca.into()), token: Some(token.into()), ..Kubeconfig::default() }
    }

    /// The file's text; `cluster` and `user` are only names in it.
    pub fn to_yaml(&self, cluster: &str, user: &str) -> String {
        let data = |text: &Option<String>| text.as_ref().map(|text| STANDARD.encode(text));
        let file = self.token_file.as_ref().map(|path| path.display().to_string());
        let insecure = if self.insecure { "\n    insecure-skip-tls-verify: true" } else { "" };
        let mut out = format!("apiVersion: v1\nkind: Config\nclusters:\n- name: {}\n  cluster:\n", quoted(cluster));
        out += &format!("    server: {}{insecure}\n", quoted(&self.server));
        out += &lines("    ", &[("certificate-authority-data", data(&self.ca)), ("tls-server-name", self.tls_server_name.clone())]);
        let context = format!("{user}@{cluster}");
        out += &format!("contexts:\n- name: {}\n  context:\n    cluster: {}\n", quoted(&context), quoted(cluster));
        out += &format!("    user: {}\n", quoted(user));
        out += &lines("    ", &[("namespace", self.namespace.clone())]);
        out += &format!("current-context: {}\npreferences: {{}}\nusers:\n- name: {}\n  user:\n", quoted(&context), quoted(user));
        out + &lines(
            "    ",
            &[
                ("client-certificate-data", data(&self.client_cert)),
                ("client-key-data", data(&self.client_key)),
                ("token", self.token.clone()),
                ("tokenFile", file),
            ],
        )
    }

    /// Writes the file whole, readable by its owner alone. Leaves it alone when it already says so; tells whether it wrote.
    pub fn write(&self, path: &Path, cluster: &str, user: &str) -> Result<bool, Error> {
        let text = self.to_yaml(cluster, user);
        if file::read(path)?.as_deref() == Some(text.as_str()) {
            return Ok(false);
        }
        file::replace(path, &text, file::SECRET)?;
        Ok(true)
    }

    /// Reads the current context; paths in the file are relative to it.
    pub fn load(path: &Path) -> Result<Kubeconfig, Error> {
        let place = path.display().to_string();
        let missing = || Error::File { path: place.clone(), source: std::io::ErrorKind::NotFound.into() };
        let text = file::read(path)?.ok_or_else(missing)?;
        Kubeconfig::parse(&text, &place, path.parent().unwrap_or(Path::new(".")))
    }

    fn parse(text: &str, place: &str, folder: &Path) -> Result<Kubeconfig, Error> {
        let bad = |why: String| Error::unusable(place, "kubeconfig", why);
        if text.len() > MAX_BYTES {
            return Err(bad(format!("it has more than {MAX_BYTES} bytes")));
        }
        // A namespace may be called `n`, which older YAML takes for `false`.
        let options = serde_saphyr::options! { strict_booleans: true };
        let config: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| bad(error.to_string()))?;
        let context_name = config["current-context"].as_str().unwrap_or_default();
        let context = named(&config, "contexts", context_name, "context").ok_or_else(|| bad("no current context in it".into()))?;
        let cluster_name = context["cluster"].as_str().unwrap_or_default();
        let cluster =
            named(&config, "clusters", cluster_name, "cluster").ok_or_else(|| bad(format!("no cluster \"{cluster_name}\" in it")))?;
        let user = named(&config, "users", context["user"].as_str().unwrap_or_default(), "user").unwrap_or(json!({}));
        let text_of = |value: &Value, key: &str| value[key].as_str().filter(|text| !text.is_empty()).map(String::from);
        let server = text_of(&cluster, "server").ok_or_else(|| bad(format!("cluster \"{cluster_name}\" has no server")))?;
        Ok(Kubeconfig {
            server,
            ca: material(&cluster, "certificate-authority", folder, place)?,
            tls_server_name: text_of(&cluster, "tls-server-name"),
            insecure: cluster["insecure-skip-tls-verify"].as_bool().unwrap_or(false),
            client_cert: material(&user, "client-certificate", folder, place)?,
            client_key: material(&user, "client-key", folder, place)?,
            token: text_of(&user, "token"),
            token_file: text_of(&user, "tokenFile").map(|path| folder.join(path)),
            namespace: text_of(&context, "namespace"),
        })
    }
}

/// The `inner` part of the item called `name` in the list `list`.
fn named(config: &Value, list: &str, name: &str, inner: &str) -> Option<Value> {
    let items = config[list].as_array()?;
    Some(items.iter().find(|item| item["name"].as_str() == Some(name))?[inner].clone())
}

/// `<key>-data` (base64) or the file that `<key>` names.
fn material(value: &Value, key: &str, folder: &Path, place: &str) -> Result<Option<String>, Error> {
    if let Some(data) = value[format!("{key}-data")].as_str().filter(|data| !data.is_empty()) {
        let bytes = STANDARD.decode(data.trim()).map_err(|error| Error::unusable(place, "kubeconfig", format!("{key}-data: {error}")))?;
        let text = String::from_utf8(bytes).map_err(|_| Error::unusable(place, "kubeconfig", format!("{key}-data is not PEM")))?;
        return Ok(Some(text));
    }
    let Some(path) = value[key].as_str().filter(|path| !path.is_empty()) else { return Ok(None) };
    let path = folder.join(path);
    match file::read(&path)? {
        Some(text) => Ok(Some(text)),
        None => Err(Error::File { path: path.display().to_string(), source: std::io::ErrorKind::NotFound.into() }),
    }
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/' | '+' | '=' | '@');
    let safe = text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) && !matches!(text, "true" | "false" | "null");
    if safe { text.into() } else { Value::from(text).to_string() }
}

fn lines(indent: &str, pairs: &[(&str, Option<String>)]) -> String {
    let given = pairs.iter().filter_map(|(key, value)| value.as_ref().map(|value| format!("{indent}{key}: {}\n", quoted(value))));
    given.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn writes_what_kubectl_reads() {
        let config = Kubeconfig::for_pair("https://127.0.0.1:6443", "CA", "CERT", "KEY");
        expect![[r#"
            apiVersion: v1
            kind: Config
            clusters:
            - name: coxswain
              cluster:
                server: "https://127.0.0.1:6443"
                certificate-authority-data: Q0E=
            contexts:
            - name: admin@coxswain
              context:
                cluster: coxswain
                user: admin
            current-context: admin@coxswain
            preferences: {}
            users:
            - name: admin
              user:
                client-certificate-data: Q0VSVA==
                client-key-data: S0VZ
        "#]]
        .assert_eq(&config.to_yaml("coxswain", "admin"));
        assert_eq!(Kubeconfig::parse(&config.to_yaml("coxswain", "a b: c"), "x", Path::new(".")).unwrap(), config);
    }

    #[test]
    fn reads_files_beside_it_and_names_what_is_wrong() {
        let folder = std::env::temp_dir().join(format!("kubeconfig-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ca.pem"), "the CA").unwrap();
        let text = r#"{current-context: c, contexts: [{name: c, context: {cluster: k, user: u, namespace: n}}],
            clusters: [{name: k, cluster: {server: "https://h:1", certificate-authority: ca.pem}}],
            users: [{name: u, user: {tokenFile: t}}]}"#;
        let config = Kubeconfig::parse(text, "x", &folder).unwrap();
        assert_eq!((config.ca.as_deref(), config.namespace.as_deref()), (Some("the CA"), Some("n")));
        assert_eq!(config.token_file, Some(folder.join("t")));
        std::fs::remove_dir_all(&folder).unwrap();
        let error = |text: &str| Kubeconfig::parse(text, "x", &folder).unwrap_err().to_string();
        assert_eq!(error("{}"), "x holds no usable kubeconfig: no current context in it");
        assert!(error(text).contains("ca.pem"));
        assert!(error("[").starts_with("x holds no usable kubeconfig"));
    }

    #[test]
    fn is_written_once_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let path = std::env::temp_dir().join(format!("kubeconfig-mode-{}", std::process::id()));
        let config = Kubeconfig::for_token("https://h:1", "CA", "secret");
        assert!(config.write(&path, "c", "u").unwrap());
        assert!(!config.write(&path, "c", "u").unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Kubeconfig::load(&path).unwrap(), config);
        std::fs::remove_file(&path).unwrap();
    }
}
