// What the gateway's debug headers say: the cache of each step (RFC 9211), and the time of each phase (W3C Server Timing).

// By cache: "hit", "miss, loaded" and the like. Members are `name; parameter; parameter=value`.
export function readCacheStatus(field) {
  return Object.fromEntries(members(field).map(([name, ...parameters]) => [name, sentence(parameters)]));
}

function sentence(parameters) {
  const forwarded = parameters.find((parameter) => parameter.startsWith("fwd="))?.slice(4);
  const detail = parameters.find((parameter) => parameter.startsWith("detail="))?.slice(7);
  const said = forwarded === undefined ? ["hit"] : [forwarded];
  if (parameters.includes("collapsed")) said.push("waited for the same load");
  else if (parameters.includes("stored")) said.push("loaded");
  if (detail) said.push(detail);
  return said.join(", ");
}

// Milliseconds by phase.
export function readServerTiming(field) {
  return Object.fromEntries(members(field).map(([name, duration]) => [name, Number(duration?.replace("dur=", ""))]));
}

function members(field) {
  return (field ?? "").split(", ").filter(Boolean).map((member) => member.split("; ").flatMap((part) => part.split(";")));
}
