// Graphile Worker: adds COUNT jobs to DATABASE and prints how many it then does a second, once it runs. With a URL each
// job posts its payload there over kept connections; without one it does nothing.
//
//   node graphile.mjs DATABASE COUNT [URL]
//
// The settings are those of its own performance test, with the local queue.

import { createRequire } from "node:module";
import http from "node:http";
import path from "node:path";

const require = createRequire(path.join(process.env.PEERS, "index.js"));
const { run, runMigrations, makeWorkerUtils, Logger } = require("graphile-worker");
const [connectionString, count, url] = process.argv.slice(2);
const total = Number(count);
const silent = new Logger(() => () => {});

await runMigrations({ connectionString, logger: silent });
const utils = await makeWorkerUtils({ connectionString, logger: silent });
await utils.withPgClient((client) =>
  client.query(
    `select graphile_worker.add_jobs(array(
       select json_populate_record(null::graphile_worker.job_spec, json_build_object(
         'identifier', 'job', 'payload', json_build_object(
           'entity_id', i::text, 'customer', 'customer ' || i, 'country', 'AT', 'status', 'pending', 'total', i + 0.25,
           'note', 'a note of ordinary length for order ' || i)))
       from generate_series(1, $1::int) as i))`,
    [total],
  ),
);
await utils.release();

const agent = new http.Agent({ keepAlive: true, maxSockets: 24 });
const post = (payload) =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify(payload);
    const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    const request = http.request(url, { method: "POST", agent, headers }, (answer) => {
      answer.resume().on("end", resolve).on("error", reject);
    });
    request.on("error", reject).end(body);
  });

let done = 0;
let finish;
const finished = new Promise((resolve) => (finish = resolve));
const job = async (payload) => {
  if (url) await post(payload);
  done += 1;
  if (done === total) finish();
};
const started = process.hrtime.bigint();
const runner = await run({
  taskList: { job },
  preset: {
    worker: {
      connectionString,
      concurrentJobs: 24,
      maxPoolSize: 10,
      pollInterval: 2000,
      localQueue: { size: 500 },
      completeJobBatchDelay: 0,
      failJobBatchDelay: 0,
      logger: silent,
    },
  },
});
await finished;
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
await runner.stop();
console.log(total / seconds);
process.exit(0);
