/** Renders openapi.json: every operation with its parameters, bodies and a curl line. Text is always text. */

const METHODS = ["get", "post", "put", "patch", "delete"];

/** @returns {HTMLElement} an element with that text. */
function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

/** Follow one "#/components/…" reference. */
function resolve(document_, schema) {
  if (!schema?.$ref) return schema ?? {};
  return schema.$ref.slice(2).split("/").reduce((node, key) => node[key], document_);
}

/** A short description of a schema, as one would write it in a comment. */
function typeOf(document_, schema) {
  const found = resolve(document_, schema);
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (found.anyOf) return found.anyOf.map((option) => typeOf(document_, option)).join(" | ");
  if (found.type === "array") return `[${typeOf(document_, found.items)}]`;
  if (found.properties) return shapeOf(document_, found);
  if (found.additionalProperties) return `{…: ${typeOf(document_, found.additionalProperties)}}`;
  return found.type ?? "any";
}

function shapeOf(document_, schema) {
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([key, value]) => {
    const inner = typeOf(document_, value).replaceAll("\n", "\n  ");
    return `  ${key}${required.has(key) ? "" : "?"}: ${inner}`;
  });
  return `{\n${lines.join(",\n")}\n}`;
}

function jsonSchema(content) {
  return content?.["application/json"]?.schema;
}

function curlLine(method, path, operation) {
  const parts = ["curl"];
  if (method !== "get") parts.push(`-X ${method.toUpperCase()}`);
  if (path.startsWith("/api/")) parts.push("-H 'Authorization: Bearer API_KEY'");
  if (operation.requestBody) parts.push(`--json '{"clientId": "bot", "Message": "hello"}'`);
  parts.push(`${location.origin}${path.replace("{room}", "global")}`);
  return parts.join(" ");
}

function showOperation(document_, method, path, operation) {
  const view = globalThis.document.querySelector("#operation").content.cloneNode(true);
  const methodView = view.querySelector(".method");
  methodView.textContent = method.toUpperCase();
  methodView.classList.add(method);
  view.querySelector(".path").textContent = path;
  view.querySelector(".text").textContent = operation.description ?? operation.summary ?? "";
  const table = view.querySelector(".parameters");
  for (const parameter of operation.parameters ?? []) {
    const row = table.tBodies[0].insertRow();
    row.append(element("th", parameter.name));
    row.append(element("td", typeOf(document_, parameter.schema)));
    const fallback = parameter.schema?.default;
    row.append(element("td", fallback === undefined ? "" : `default ${JSON.stringify(fallback)}`));
    row.append(element("td", parameter.description ?? ""));
  }
  if (!operation.parameters?.length) table.remove();
  const bodies = view.querySelector(".bodies");
  const asked = jsonSchema(operation.requestBody?.content);
  if (asked) bodies.append(element("h4", "Request"), element("pre", typeOf(document_, asked)));
  for (const [status, response] of Object.entries(operation.responses ?? {})) {
    bodies.append(element("h4", `${status} ${response.description}`));
    const schema = jsonSchema(response.content);
    if (schema && Object.keys(schema).length) bodies.append(element("pre", typeOf(document_, schema)));
  }
  view.querySelector(".curl").textContent = curlLine(method, path, operation);
  return view;
}

function show(document_) {
  globalThis.document.querySelector("#about").textContent = `${document_.info.description} Version ${document_.info.version}.`;
  const sections = new Map();
  for (const [path, item] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!sections.has(tag)) {
        const section = globalThis.document.createElement("section");
        section.append(element("h2", tag));
        sections.set(tag, section);
      }
      sections.get(tag).append(showOperation(document_, method, path, item[method]));
    }
  }
  globalThis.document.querySelector("#operations").replaceChildren(...sections.values());
}

const response = await fetch("openapi.json");
if (response.ok) show(await response.json());
else globalThis.document.querySelector("#about").textContent = `openapi.json could not be read (${response.status}).`;
