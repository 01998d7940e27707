// The command line that calls a deployment. The twin of deployments.py.

const BLANKS = { string: "text", integer: 0, number: 0, boolean: false };

/** A shell command that calls `deployment`, with an example value for each parameter, and with
    `key` where that is given. */
export function curlLine(deployment, key) {
  const access = key ? `"Authorization: Bearer ${key}" \\\n ` : '"Authorization: token $TOKEN"';
  const body = JSON.stringify({ parameters: exampleParameters(deployment.input_schema) });
  return `curl -X POST '${deployment.invoke_url}' \\\n`
    + `  -H ${access} -H "Content-Type: application/json" \\\n`
    + `  -d '${body.replaceAll("'", "'\\''")}'`;
}

/** A value for each parameter of a JSON Schema: its example, its default, or one of its type. */
export function exampleParameters(schema) {
  const known = schema?.$defs ?? {};
  return Object.fromEntries(Object.entries(schema?.properties ?? {})
    .map(([name, part]) => [name, example(part, known, 0)]));
}

function example(part, known, depth) {
  if (part === null || typeof part !== "object" || depth > 4) return null;
  for (const key of ["example", "default", "const"]) if (key in part) return part[key];
  for (const key of ["examples", "enum"]) if (part[key]?.length) return part[key][0];
  if (part.$ref) return example(known[part.$ref.split("/").pop()], known, depth + 1);
  for (const key of ["anyOf", "oneOf", "allOf"]) {
    if (part[key]?.length) return example(part[key][0], known, depth + 1);
  }
  if (part.type === "object" || part.properties) {
    return Object.fromEntries(Object.entries(part.properties ?? {})
      .map(([name, inner]) => [name, example(inner, known, depth + 1)]));
  }
  if (part.type === "array") return part.items ? [example(part.items, known, depth + 1)] : [];
  return BLANKS[part.type] ?? null;
}
