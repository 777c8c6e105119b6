// Median, 95th percentile (nearest rank) and maximum of the good samples; null while there are none.
export function summarise(samples) {
  const times = samples.filter(({ ms }) => ms !== null).map(({ ms }) => ms).sort((a, b) => a - b);
  const rank = (share) => times[Math.ceil(share * times.length) - 1];
  if (times.length === 0) return null;
  return { count: times.length, p50: rank(0.5), p95: rank(0.95), max: times.at(-1) };
}

export function milliseconds(ms) {
  return `${ms < 100 ? ms.toFixed(1) : Math.round(ms)} ms`;
}
