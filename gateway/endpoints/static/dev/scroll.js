// The scroll position over a reload. Browsers restore it when a page has loaded, but most pages show plugins later.
import { keep, kept } from "./storage.js";

const WAIT_MS = 5000;

export const keepScroll = () => keep("scrolled", scrollY);

// Scrolls as soon as the page is long enough, unless somebody has begun to use it.
export function restoreScroll() {
  const top = Number(kept("scrolled"));
  keep("scrolled", 0);
  if (!top) return;
  const observer = new ResizeObserver(() => {
    if (document.documentElement.scrollHeight < top + innerHeight) return;
    scrollTo({ top, behavior: "instant" });
    stop();
  });
  const stop = () => observer.disconnect();
  observer.observe(document.documentElement);
  for (const use of ["wheel", "touchmove", "pointerdown", "keydown"]) addEventListener(use, stop, { once: true });
  setTimeout(stop, WAIT_MS);
}
