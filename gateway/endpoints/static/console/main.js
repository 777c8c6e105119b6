// Puts the parts of the page together.
import { showChanges } from "./changes.js";
import { showConnection } from "./connection.js";
import { explainFile, explainUrl } from "./explain.js";
import { Findings } from "./findings.js";
import { Plots } from "./plots.js";
import { showProcesses, showVersions } from "./processes.js";
import "./purge.js";
import { Requests } from "./requests.js";
import { showState } from "./state.js";
import { Stream } from "./stream.js";
import { Users } from "./users.js";

const VERSIONS_EVERY_MS = 30_000;

const plots = new Plots();
const requests = new Requests(explainUrl);
new Findings();
new Users(explainFile);
showChanges();
showVersions();
setInterval(() => document.hidden || showVersions(), VERSIONS_EVERY_MS);
new Stream(
  "console/events",
  {
    history: ({ samples }) => plots.replace(samples),
    sample: (sample) => plots.append(sample),
    state(state) {
      showState(state);
      showProcesses(state);
      requests.show(state);
    },
  },
  showConnection,
);
