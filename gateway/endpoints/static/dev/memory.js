// What this tab remembers over a reload. A page without storage remembers nothing.

export function recall(key) {
  try {
    return JSON.parse(sessionStorage.getItem(`gateway dev: ${key}`));
  } catch {
    return null;
  }
}

export function remember(key, value) {
  try {
    sessionStorage.setItem(`gateway dev: ${key}`, JSON.stringify(value));
  } catch {
    // See above.
  }
}
