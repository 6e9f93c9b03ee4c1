//! Where an issuer's metadata is, and what it says of the issuer's keys (RFC 8414, OpenID Connect Discovery 1.0). Fetches
//! nothing by itself.

use http::Uri;
use serde::Deserialize;

/// What counts of an issuer's metadata.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Why metadata cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// It is no JSON, or lacks `issuer` or `jwks_uri`.
    #[error("not the metadata of an issuer (RFC 8414)")]
    Form(#[source] serde_json::Error),
    /// It is somebody else's (RFC 8414 §3.3).
    #[error("the metadata names another issuer")]
    Foreign,
    /// Its keys are at no URL that is safe to ask: http where the issuer is https, or none at all.
    #[error("the metadata's `jwks_uri` is no URL like the issuer's")]
    Keys,
}

/// Where the metadata may be, the likeliest first (MCP 2025-11-25, Authorization Server Metadata Discovery).
pub(super) fn places(issuer: &str) -> Vec<Uri> {
    let Ok(url) = issuer.parse::<Uri>() else { return Vec::new() };
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else { return Vec::new() };
    let path = url.path().trim_end_matches('/');
    let origin = format!("{scheme}://{authority}");
    let mut places = vec![
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
        format!("{origin}/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{origin}{path}/.well-known/openid-configuration"));
    }
    places.into_iter().filter_map(|place| place.parse().ok()).collect()
}

/// Where the keys are, as the metadata says.
pub(super) fn keys(issuer: &str, body: &[u8]) -> Result<Uri, MetadataError> {
    let metadata: Metadata = serde_json::from_slice(body).map_err(MetadataError::Form)?;
    if metadata.issuer != issuer {
        return Err(MetadataError::Foreign);
    }
    let url: Uri = metadata.jwks_uri.parse().map_err(|_| MetadataError::Keys)?;
    let safe = match url.scheme_str() {
        Some("https") => true,
        Some("http") => issuer.starts_with("http:"),
        _ => false,
    };
    if safe && url.host().is_some() { Ok(url) } else { Err(MetadataError::Keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_has_its_places() {
        let shown = |issuer| places(issuer).iter().map(Uri::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            shown("https://a.example/"),
            "https://a.example/.well-known/oauth-authorization-server https://a.example/.well-known/openid-configuration"
        );
        assert_eq!(
            shown("https://a.example/t/1"),
            "https://a.example/.well-known/oauth-authorization-server/t/1 https://a.example/.well-known/openid-configuration/t/1 \
             https://a.example/t/1/.well-known/openid-configuration"
        );
    }

    #[test]
    fn metadata_of_another_issuer_is_refused() {
        let of = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        let read = |text: String| keys("https://a.example", text.as_bytes());
        assert!(read(of("https://a.example", "https://keys.example/k")).is_ok());
        assert!(matches!(read(of("https://b.example", "https://a.example/k")), Err(MetadataError::Foreign)));
        assert!(matches!(read(of("https://a.example", "http://a.example/k")), Err(MetadataError::Keys)));
        assert!(matches!(read(of("https://a.example", "/k")), Err(MetadataError::Keys)));
        assert!(matches!(read("{}".into()), Err(MetadataError::Form(_))));
    }
}
