// Owns: reading `--name value` arguments, one way for every script here.

/** Parses `--name value` pairs; a name listed in `many` collects its values. */
export function readArgs(defaults, many = []) {
  const options = { ...defaults };
  for (const name of many) options[name] = [];
  const words = process.argv.slice(2);
  for (let at = 0; at < words.length; at += 1) {
    const name = words[at].replace(/^--/, '');
    if (!(name in options)) throw new Error(`unknown argument ${words[at]}`);
    if (options[name] === false) {
      options[name] = true;
      continue;
    }
    at += 1;
    if (at >= words.length) throw new Error(`--${name} wants a value`);
    if (many.includes(name)) options[name].push(words[at]);
    else options[name] = words[at];
  }
  return options;
}

/** `["a: b"]` as a header object. */
export function readHeaders(lines) {
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`--header wants "name: value", got ${line}`);
    headers[line.slice(0, colon).trim()] = line.slice(colon + 1).trim();
  }
  return headers;
}
