// What this tab keeps over a reload. Some pages have no storage; nothing is kept for them.

export function kept(name) {
  try {
    return sessionStorage.getItem(`gateway dev: ${name}`);
  } catch {
    return null;
  }
}

export function keep(name, text) {
  try {
    sessionStorage.setItem(`gateway dev: ${name}`, text);
  } catch {
    // See above.
  }
}
