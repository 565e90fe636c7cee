//! The OpenAPI document and the page that shows it.

use axum::Router;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use crate::{ApiState, document::CLUSTER_SCHEMA, resources};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "pgherd control plane",
        description = "Topology, proxies, revisions and tokens of a pgherd fleet.\n\n\
            Errors are RFC 9457 problem documents. Secrets never come back out: they read `***`.",
    ),
    modifiers(&BearerToken),
    security(("token" = [])),
)]
struct Base;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token with the role viewer, operator or admin"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The router that resources are added to.
pub fn base() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(Base::openapi())
}

/// The document, with the schema of the settings types in it.
pub fn openapi_json() -> Value {
    let (_, openapi) = resources().split_for_parts();
    let mut document =
        serde_json::to_value(openapi).expect("the OpenAPI types have only string keys");
    // Named by the crates' version, the golden file would change with each release.
    document["info"]["version"] = "1".into();
    if let Some(info) = document["info"].as_object_mut() {
        info.remove("license");
        info.remove("contact");
    }
    let settings = schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let cluster = generator.subschema_for::<pgherd_config::Cluster>();
    let definitions = generator.take_definitions(true);
    let schemas =
        document["components"]["schemas"].as_object_mut().expect("the resources have schemas");
    // The settings type is named like ours, so that its definition takes our place.
    debug_assert!(cluster.get("$ref").is_some());
    for (name, schema) in definitions {
        debug_assert!(name == CLUSTER_SCHEMA || !schemas.contains_key(&name), "{name} twice");
        schemas.insert(name, schema);
    }
    document
}

/// `/api/openapi.json` and `/api/docs`.
pub fn router() -> Router<ApiState> {
    SwaggerUi::new("/api/docs").external_url_unchecked("/api/openapi.json", openapi_json()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use expect_test::expect_file;
    use serde_json::Value;

    #[test]
    fn the_document_is_the_one_that_is_kept() {
        let mut text = serde_json::to_string_pretty(&super::openapi_json()).unwrap();
        text.push('\n');
        expect_file!["../../../docs/openapi.json"].assert_eq(&text);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        found.insert(reference);
                    }
                    map.values().for_each(|value| collect(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
                _ => {}
            }
        }
        let document = super::openapi_json();
        let mut found = BTreeSet::new();
        collect(&document, &mut found);
        let dangling: Vec<_> = found
            .into_iter()
            .filter(|reference| document.pointer(reference.trim_start_matches('#')).is_none())
            .collect();
        assert_eq!(dangling, Vec::<&str>::new());
        assert!(document.pointer("/components/schemas/Cluster/properties/pool_size").is_some());
    }
}
