//! The rows of traces. Decides nothing else.

use std::path::PathBuf;

use super::{key, text};
use crate::config::form::{Flag, Text};
use crate::config::traces::{Share, TraceHeaders, endpoint};
use crate::config::tree::{Key, Optional, Section, Shape};
use crate::config::url::BackendUrl;
use crate::config::values;

section! { TRACES: Table "traces", "Traces (OpenTelemetry). Which trace a request belongs to is passed on with or without them.", below [];
    ENDPOINT: Optional<Text<BackendUrl>> = Optional { name: "endpoint", absent: "what OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or OTEL_EXPORTER_OTLP_ENDPOINT says; else nothing is traced",
        sample: r#""http://127.0.0.1:4318""#, form: text(endpoint, "a URL such as \"http://127.0.0.1:4318\""),
        doc: "Where spans are sent (OTLP over HTTP, protobuf): a collector, or whatever takes OTLP. Where the URL has no path, /v1/traces is added." };
    SAMPLE: Key<Share> = key("sample", "0.01", Share,
        "The share of traces that are recorded, of those that begin here.");
    FOLLOW: Key<Flag> = key("follow", "true", Flag,
        "Whether a request that belongs to a trace already is recorded if, and only if, its sender records it. Without, the share decides there too: \
         for gateways whose clients are strangers, who could have everything recorded.");
    META: Key<Flag> = key("meta", "false", Flag,
        "Whether backends are told of a recorded trace in params._meta too where the client has not written any, for servers that look nowhere else. \
         What a client has written there is kept up to date in any case.");
    HEADERS_FILE: Optional<Text<TraceHeaders>> = Optional { name: "headers_file", absent: "see headers",
        sample: r#""/run/secrets/moorline-traces""#, form: text(TraceHeaders::from_file, "the path of a file"),
        doc: "A file that holds the header fields." };
    HEADERS_ENV: Optional<Text<TraceHeaders>> = Optional { name: "headers_env", absent: "see headers",
        sample: r#""MOORLINE_TRACES_HEADERS""#, form: text(TraceHeaders::from_env, "the name of an environment variable"),
        doc: "An environment variable that holds the header fields." };
    HEADERS: Optional<Text<TraceHeaders>> = Optional { name: "headers", absent: "what OTEL_EXPORTER_OTLP_HEADERS says, or none", sample: r#""…""#,
        form: Text { parse: TraceHeaders::parse, accepted: "header fields, such as \"api-key=…\"", secret: true },
        doc: "Header fields that spans are sent with, such as a credential: name=value, with commas between. Prefer a file or a variable; only one of the three may be given." };
    SERVICE_NAME: Optional<Text<String>> = Optional { name: "service_name", absent: "what OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES says, or moorline",
        sample: r#""moorline""#, form: text(values::name, "up to 64 letters, digits, `-`, `_` and `.`"),
        doc: "What this gateway is called in traces." };
    CA_FILE: Optional<Text<PathBuf>> = Optional { name: "ca_file", absent: "the machine's own list", sample: r#""/etc/moorline/collector-ca.pem""#,
        form: text(values::file, "the path of a file"),
        doc: "The authorities (PEM) that vouch for an https endpoint." };
}
