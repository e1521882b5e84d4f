//! Users by client certificate: the CN is the user, each O a group. Worked out once per connection. The TLS listener has checked
//! the chain and the times; here is only told apart which authority vouches, because a proxy's certificate is no user's.
use crate::request::PeerCertificates;
use client::Identity;
use pki::Certificate;
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;

/// The authorities for users' certificates.
#[derive(Clone, Debug, Default)]
pub struct ClientCa {
    authorities: Vec<Certificate>,
}

impl ClientCa {
    /// From the PEM of one or more authorities; blocks that cannot be read are left out.
    pub fn from_pem(text: &str) -> ClientCa {
        let authorities = pki::pem::certificates(text).iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        ClientCa { authorities }
    }

    pub fn identity(&self, peer: &PeerCertificates) -> Option<Identity> {
        let leaf = self.verified(peer)?;
        let mut extra = BTreeMap::new();
        let hash: String = digest(&SHA256, &leaf.der).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        extra.insert("authentication.kubernetes.io/credential-id".to_string(), vec![format!("X509SHA256={hash}")]);
        Some(Identity { user: leaf.subject.user, uid: String::new(), groups: leaf.subject.groups, extra })
            .filter(|user| !user.user.is_empty())
    }

    /// The leaf, if one of these authorities vouches for it, directly or through the certificates that the client sent.
    pub fn verified(&self, peer: &PeerCertificates) -> Option<Certificate> {
        let chain: Vec<Certificate> = peer.chain.iter().map_while(|der| Certificate::from_der(der).ok()).collect();
        let leaf = chain.first().filter(|leaf| leaf.client_auth)?;
        let mut last = leaf;
        for next in chain.iter().skip(1).map(Some).chain([None]) {
            if self.authorities.iter().any(|authority| last.is_signed_by(authority)) {
                return Some(leaf.clone());
            }
            last = next.filter(|next| next.is_ca && last.is_signed_by(next))?;
        }
        None
    }
}
