//! Private keys: ECDSA on P-256, kept as PKCS#8.
use crate::{Error, der, pem};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

pub struct Key {
    pkcs8: Vec<u8>,
    asn1: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
}

impl Key {
    pub fn generate() -> Result<Key, Error> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| Error::Crypto("making a key"))?;
        Key::from_der(document.as_ref().to_vec(), "a new key")
    }

    /// `place` names where the text came from, for the error.
    pub fn from_pem(text: &str, place: &str) -> Result<Key, Error> {
        let mut blocks = pem::decode(text, &["PRIVATE KEY"]);
        match blocks.len() {
            0 => Err(Error::unusable(place, "private key", "no PKCS#8 block in it")),
            _ => Key::from_der(blocks.swap_remove(0), place),
        }
    }

    fn from_der(pkcs8: Vec<u8>, place: &str) -> Result<Key, Error> {
        let load = |algorithm| {
            EcdsaKeyPair::from_pkcs8(algorithm, &pkcs8, &SystemRandom::new())
                .map_err(|error| Error::unusable(place, "private key", format!("not an ECDSA P-256 key ({error})")))
        };
        let (asn1, fixed) = (load(&ECDSA_P256_SHA256_ASN1_SIGNING)?, load(&ECDSA_P256_SHA256_FIXED_SIGNING)?);
        Ok(Key { pkcs8, asn1, fixed })
    }

    pub fn to_pem(&self) -> String {
        pem::encode("PRIVATE KEY", &self.pkcs8)
    }

    /// PKCS#8.
    pub fn to_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The uncompressed point.
    pub fn public_point(&self) -> &[u8] {
        self.asn1.public_key().as_ref()
    }

    /// `SubjectPublicKeyInfo`.
    pub fn public_der(&self) -> Vec<u8> {
        public_der(self.public_point())
    }

    pub fn public_pem(&self) -> String {
        pem::encode("PUBLIC KEY", &self.public_der())
    }

    /// An ASN.1 signature over SHA-256, as certificates carry it.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.asn1.sign(&SystemRandom::new(), message).map_err(|_| Error::Crypto("signing"))?;
        Ok(signature.as_ref().to_vec())
    }

    /// The two numbers side by side, as ES256 asks.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.fixed.sign(&SystemRandom::new(), message).map_err(|_| Error::Crypto("signing"))?;
        Ok(signature.as_ref().to_vec())
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

pub(crate) fn public_der(point: &[u8]) -> Vec<u8> {
    der::sequence(&[der::sequence(&[der::oid(der::EC_PUBLIC_KEY), der::oid(der::P256)]), der::bits(point)])
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&SystemRandom::new(), &mut bytes).map_err(|_| Error::Crypto("drawing random bytes"))?;
    Ok(bytes)
}
