//! What a server offers: one visit before the load begins. It asks for lists, and makes up arguments where none were given; it calls nothing.

use serde_json::{Map, Value, json};

use super::line::Line;
use super::message::{self, Ask, INITIALIZED, Session};
use super::mix::{Also, Mix, Part, TOOLS, Wanted};
use super::trouble::{Mishap, Trouble};
use crate::mcp::version::{Era, METHOD_NOT_FOUND};

/// Pages of lists that are read.
const MOST_PAGES: usize = 20;

/// Levels of a schema that arguments are made up for.
const DEEPEST: usize = 8;

/// Resources that are read at most.
const MOST_RESOURCES: usize = 20;

/// Weights are whole numbers: so much finer than those asked for, so that what is shared out comes out even.
const FINE: u32 = 1000;

/// Why no load can be made.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The server did not answer as an MCP server does.
    #[error("{method} failed ({}): {}", mishap.kind, mishap.said)]
    Refused {
        /// What was asked.
        method: &'static str,
        /// What went wrong.
        mishap: Mishap,
    },
    /// A tool that was named is not among those that the server lists.
    #[error("the server has no tool {name:?}; it has: {has}")]
    NoSuchTool {
        /// The name.
        name: String,
        /// Those that there are.
        has: String,
    },
    /// No tool may be called unasked.
    #[error(
        "none of the server's tools says that it only reads (readOnlyHint), so none is called unasked; \
         name those that may be, with --tool NAME. It has: {has}"
    )]
    NothingSafe {
        /// Those that there are.
        has: String,
    },
    /// Nothing is left to do.
    #[error("nothing to do: the server has no tools, and nothing else was asked for with --also")]
    Nothing,
}

/// What is wanted of the mix.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Tools; none: those that only read.
    pub tools: Vec<Wanted>,
    /// All else.
    pub also: Also,
}

/// Visits the server as a user of that era and gives the mix.
///
/// # Errors
/// [`DiscoverError`] says why no load can be made.
pub async fn discover(line: &Line, era: Era, wish: &Wish) -> Result<Mix, DiscoverError> {
    let mut visit = Visit { line, era, session: Session::default(), last_id: 0 };
    if era == Era::Legacy {
        visit.begin().await?;
    }
    let mix = visit.mix(wish).await;
    if visit.session.id.is_some() {
        // That it cannot be ended shows in the run.
        drop(line.delete(&visit.session).await);
    }
    mix
}

struct Visit<'a> {
    line: &'a Line,
    era: Era,
    session: Session,
    last_id: u64,
}

impl Visit<'_> {
    async fn begin(&mut self) -> Result<(), DiscoverError> {
        let failed = |mishap| DiscoverError::Refused { method: "initialize", mishap };
        let none = Session::default();
        let (fields, line) = (self.line.fields(), self.line);
        let answered = line.ask(fields.legacy(&none), message::initialize(0), 0, (Era::Legacy, &none)).await;
        let result = parsed(&answered.outcome.map_err(failed)?);
        let version = result["protocolVersion"].as_str().and_then(|version| version.parse().ok());
        self.session = Session { id: answered.session, version };
        line.post(fields.legacy(&self.session), INITIALIZED.into()).await.map_err(failed)
    }

    async fn ask(&mut self, ask: &Ask) -> Result<Value, DiscoverError> {
        self.last_id += 1;
        let headers = match self.era {
            Era::Legacy => self.line.fields().legacy(&self.session),
            Era::Modern => self.line.fields().modern(ask),
        };
        let body = ask.body(self.era, self.last_id);
        let answered = self.line.ask(headers, body, self.last_id, (self.era, &self.session)).await;
        let failed = |mishap| DiscoverError::Refused { method: ask.method(self.era), mishap };
        Ok(parsed(&answered.outcome.map_err(failed)?))
    }

    async fn mix(&mut self, wish: &Wish) -> Result<Mix, DiscoverError> {
        let listed = self.tools().await?;
        let mut parts = tools(&listed, &wish.tools)?;
        if wish.also.list > 0 {
            parts.push(Part {
                name: "tools/list".into(),
                ask: Ask::ListTools { cursor: None },
                weight: wish.also.list * FINE,
            });
        }
        if wish.also.ping > 0 {
            parts.push(Part { name: "ping".into(), ask: Ask::Ping, weight: wish.also.ping * FINE });
        }
        if wish.also.resources > 0 {
            parts.extend(self.resources(wish.also.resources).await?);
        }
        if parts.is_empty() { Err(DiscoverError::Nothing) } else { Ok(Mix::new(parts)) }
    }

    async fn tools(&mut self) -> Result<Vec<Value>, DiscoverError> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..MOST_PAGES {
            let mut page = match self.ask(&Ask::ListTools { cursor }).await {
                // A server without tools may well not know the method.
                Err(DiscoverError::Refused { mishap, .. }) if mishap.kind == Trouble::JsonRpc(METHOD_NOT_FOUND) => {
                    break;
                }
                page => page?,
            };
            if let Value::Array(found) = page["tools"].take() {
                tools.extend(found);
            }
            cursor = page["nextCursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    async fn resources(&mut self, weight: u32) -> Result<Vec<Part>, DiscoverError> {
        let page = match self.ask(&Ask::ListResources).await {
            // It offers none, which its capabilities said less plainly.
            Err(DiscoverError::Refused { mishap, .. })
                if matches!(mishap.kind, Trouble::JsonRpc(_) | Trouble::Status(_)) =>
            {
                return Ok(Vec::new());
            }
            page => page?,
        };
        let uris = page["resources"].as_array().into_iter().flatten().filter_map(|one| one["uri"].as_str());
        let uris: Vec<&str> = uris.take(MOST_RESOURCES).collect();
        let share = weight * FINE / u32::try_from(uris.len().max(1)).unwrap_or(1);
        let part = |uri: &&str| Part {
            name: format!("resources/read {uri}"),
            ask: Ask::Read { uri: (*uri).to_owned() },
            weight: share,
        };
        Ok(uris.iter().map(part).collect())
    }
}

fn parsed(result: &str) -> Value {
    serde_json::from_str(result).unwrap_or_default()
}

fn name(tool: &Value) -> &str {
    tool["name"].as_str().unwrap_or_default()
}

/// The tools' parts of the mix, [`TOOLS`] together where they have no weights of their own.
fn tools(listed: &[Value], wanted: &[Wanted]) -> Result<Vec<Part>, DiscoverError> {
    let has = || {
        let names: Vec<&str> = listed.iter().map(name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    if !wanted.is_empty() {
        let whole: u32 = wanted.iter().map(|one| one.weight).sum();
        let part = |one: &Wanted| {
            let tool = listed.iter().find(|tool| name(tool) == one.name);
            let tool = tool.ok_or_else(|| DiscoverError::NoSuchTool { name: one.name.clone(), has: has() })?;
            let arguments = one.arguments.clone().unwrap_or_else(|| made_up(tool));
            Ok(tool_part(&one.name, arguments, (TOOLS * FINE * one.weight / whole.max(1)).max(1)))
        };
        return wanted.iter().map(part).collect();
    }
    let safe: Vec<&Value> = listed.iter().filter(|tool| tool["annotations"]["readOnlyHint"] == true).collect();
    if safe.is_empty() && !listed.is_empty() {
        return Err(DiscoverError::NothingSafe { has: has() });
    }
    let share = TOOLS * FINE / u32::try_from(safe.len().max(1)).unwrap_or(1);
    Ok(safe.iter().map(|tool| tool_part(name(tool), made_up(tool), share.max(1))).collect())
}

fn tool_part(name: &str, arguments: String, weight: u32) -> Part {
    Part { name: name.to_owned(), ask: Ask::Tool { name: name.to_owned(), arguments }, weight }
}

/// Arguments that the tool's schema should take: what is required, each as plain as it may be.
fn made_up(tool: &Value) -> String {
    let value = example(&tool["inputSchema"], DEEPEST);
    if value.is_object() { value.to_string() } else { "{}".to_owned() }
}

fn example(schema: &Value, depth: usize) -> Value {
    for given in ["const", "default"] {
        if let Some(value) = schema.get(given) {
            return value.clone();
        }
    }
    for list in ["enum", "examples"] {
        if let Some(value) = schema[list].get(0) {
            return value.clone();
        }
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(one) = schema[choice].get(0).filter(|_| depth > 0) {
            return example(one, depth - 1);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("string") => json!(text(schema)),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(false),
        Some("null") => Value::Null,
        Some("array") => {
            let least = usize::try_from(schema["minItems"].as_u64().unwrap_or(0)).unwrap_or(0).min(8);
            if depth == 0 { json!([]) } else { vec![example(&schema["items"], depth - 1); least].into() }
        }
        _ if depth == 0 => json!({}),
        _ => object(schema, depth - 1),
    }
}

fn object(schema: &Value, depth: usize) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let member = |key: &str| (key.to_owned(), example(&schema["properties"][key], depth));
    Value::Object(required.map(member).collect::<Map<String, Value>>())
}

fn text(schema: &Value) -> String {
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0)).unwrap_or(0).min(10_000);
    let most = usize::try_from(schema["maxLength"].as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    "moorline load ".chars().cycle().take(8.max(least).min(most)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, more: &Value) -> Value {
        let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tool
    }

    #[test]
    fn only_tools_that_read_are_called_unasked() {
        let reads = tool("reads", &json!({"annotations": {"readOnlyHint": true}}));
        let writes = tool("writes", &json!({"annotations": {"readOnlyHint": false}}));
        let parts = tools(&[reads, writes.clone()], &[]).unwrap();
        assert_eq!(parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["reads"]);
        let error = tools(std::slice::from_ref(&writes), &[]).unwrap_err().to_string();
        assert!(error.contains("--tool NAME") && error.ends_with("It has: writes"), "{error}");
        let asked = Wanted { name: "writes".into(), weight: 1, arguments: None };
        assert_eq!(tools(&[writes], std::slice::from_ref(&asked)).unwrap().len(), 1);
        let error = tools(&[], &[asked]).unwrap_err().to_string();
        assert_eq!(error, "the server has no tool \"writes\"; it has: none");
    }

    #[test]
    fn arguments_are_made_up_from_the_schema() {
        let schema = json!({"type": "object", "required": ["q", "n", "kind", "deep", "list", "flag"], "properties": {
            "q": {"type": "string", "minLength": 3, "maxLength": 4}, "n": {"type": "integer", "minimum": 7},
            "kind": {"enum": ["a", "b"]}, "left_out": {"type": "string"}, "flag": {"type": ["boolean", "null"]},
            "deep": {"type": "object", "required": ["x"], "properties": {"x": {"const": 5}}},
            "list": {"type": "array", "minItems": 2, "items": {"type": "number"}},
        }});
        let made: Value = serde_json::from_str(&made_up(&tool("x", &json!({"inputSchema": schema})))).unwrap();
        let wanted = json!({"q": "moor", "n": 7, "kind": "a", "flag": false, "deep": {"x": 5}, "list": [1, 1]});
        assert_eq!(made, wanted);
    }

    #[test]
    fn a_schema_without_end_has_an_end() {
        let mut schema = json!({"type": "string"});
        for _ in 0..100 {
            schema = json!({"type": "object", "required": ["x"], "properties": {"x": schema}});
        }
        assert!(made_up(&tool("x", &json!({"inputSchema": schema}))).len() < 200);
    }
}
