// Numbers, durations and moments as people read them. What is not known is a dash.

export const DASH = "–";

const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86400;
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const SHORT_TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DATE = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

const known = (format) => (value) => (value === null || value === undefined ? DASH : format(value));

export const count = known((number) => WHOLE.format(number));

// Two digits at least, so that a small rate is not shown as none.
export const rate = known((number) => (number === 0 || number >= 100 ? WHOLE.format(number) : number.toFixed(number < 10 ? 2 : 1)));

export const share = known((number) => `${(number * 100).toFixed(1)} %`);

export const bytes = known((number) => {
  const steps = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]];
  const [unit, size] = steps.find(([, least]) => number >= least) ?? ["B", 1];
  return size === 1 ? `${number} B` : `${digits(number / size)} ${unit}`;
});

// A short time, such as that of a request.
export const duration = known((seconds) => {
  if (seconds === 0) return "0";
  if (seconds < 1e-3) return `${digits(seconds * 1e6)} µs`;
  if (seconds < 1) return `${digits(seconds * 1e3)} ms`;
  return seconds < MINUTE_S ? `${digits(seconds)} s` : age(seconds);
});

// A long time, in its two largest units.
export const age = known((seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE_S) return `${whole} s`;
  if (whole < HOUR_S) return `${Math.floor(whole / MINUTE_S)} min ${whole % MINUTE_S} s`;
  if (whole < DAY_S) return `${Math.floor(whole / HOUR_S)} h ${Math.floor((whole % HOUR_S) / MINUTE_S)} min`;
  return `${Math.floor(whole / DAY_S)} d ${Math.floor((whole % DAY_S) / HOUR_S)} h`;
});

export const ago = (moment, now) => (moment === null || moment === undefined ? DASH : `${age(now - moment)} ago`);

// Moments are Unix seconds, or text that a Date understands.
export const timeOfDay = known((moment) => TIME.format(dateOf(moment)));
export const minuteOfDay = known((moment) => SHORT_TIME.format(dateOf(moment)));
export const dateAndTime = known((moment) => `${DATE.format(dateOf(moment))}, ${TIME.format(dateOf(moment))}`);

export function plural(number, singular, many = `${singular}s`) {
  return `${count(number)} ${number === 1 ? singular : many}`;
}

function dateOf(moment) {
  return new Date(typeof moment === "number" ? moment * 1000 : moment);
}

// Three digits that count.
function digits(number) {
  if (number >= 100) return number.toFixed(0);
  return number.toFixed(number >= 10 ? 1 : 2);
}
