//! What a newcomer may try against the running demo: commands and snippets that work by copy and paste.

use http::Uri;

use super::board::{Style, paint};

/// What to try at `endpoint`, as lines of text that end with a newline.
#[must_use]
pub fn hints(endpoint: &Uri, style: Style) -> String {
    let title = |text: &str| style.paint(paint::BOLD, text);
    let small = |text: &str| style.paint(paint::DIM, text);
    format!(
        r#"{curl}  {open}
mcp() {{ curl -s {endpoint} -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' "$@"; }}
ID=$(mcp -D - -d '{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{{"name":"curl","version":"1"}}}}}}' | tr -d '\r' | grep -i '^mcp-session-id:' | cut -d' ' -f2); echo "session $ID"
mcp -H "mcp-session-id: $ID" -d '{{"jsonrpc":"2.0","method":"notifications/initialized"}}'

{again}
mcp -H "mcp-session-id: $ID" -d '{{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{{"name":"whoami","arguments":{{}}}}}}'
mcp -H "mcp-session-id: $ID" -d '{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"count","arguments":{{}}}}}}'

{typescript}  {npm}
import {{ Client, StreamableHTTPClientTransport }} from "@modelcontextprotocol/client";
const client = new Client({{ name: "try-typescript", version: "1" }});
await client.connect(new StreamableHTTPClientTransport(new URL("{endpoint}")));
for (let i = 0; i < 3; i++) console.log((await client.callTool({{ name: "count", arguments: {{}} }})).content);
await client.close();

{python}  {pip}
import asyncio
from mcp import Client
async def main():
    async with Client("{endpoint}", mode="legacy") as client:
        for _ in range(3):
            print((await client.call_tool("count", {{}})).content)
asyncio.run(main())

{tools}  whoami, count, slow, ask_name (elicitation), touch; resource demo://counter (subscribe to it)

"#,
        curl = title("curl"),
        open = small("opens a session; its id is in the answer's header mcp-session-id"),
        again = small("then, as often as you like: the same server, and a count of your own"),
        typescript = title("TypeScript"),
        npm = small("npm install @modelcontextprotocol/client; save as try.mjs; node try.mjs"),
        python = title("Python"),
        pip = small("pip install 'mcp>=2'"),
        tools = title("tools"),
    )
}
