// What every page uses: addresses, requests, the status line, and events from the server.

export const root = document.documentElement.dataset.root;

/** A request of the API: the JSON of its answer. Throws an Error whose message is the server's line. */
export async function api(method, path, body) {
  const options = { method, headers: {} };
  if (body instanceof Blob) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(root + path, options);
  } catch {
    throw new Error("The studio does not answer. Is it still running in its terminal?");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error(told.error || `the studio answered ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return told;
}

/** A line for the person, read out by screen readers; bad: an error. */
export function say(text, bad = false) {
  const status = document.getElementById("status");
  status.textContent = text;
  status.classList.toggle("bad", bad);
}

/** Run something; an error becomes a line on the page. */
export async function tried(work) {
  try {
    return await work();
  } catch (error) {
    say(error.message, true);
    return undefined;
  }
}

/** An element: name, properties, children. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** Put another text into an element, if it is another. */
export function put(id, text) {
  const found = document.getElementById(id);
  if (found && found.textContent !== text) found.textContent = text;
}

const listeners = new Set();
let last = document.documentElement.dataset.event || "";

/** Call with every event of the server, such as {run: "flowers"}; {reset: true}: load anew. */
export function onEvent(listener) {
  if (listeners.size === 0) listen();
  listeners.add(listener);
}

function take(id, text) {
  last = id || last;
  const facts = JSON.parse(text);
  for (const listener of listeners) listener(facts);
}

// One stream for all tabs of the browser: it has six connections to a server in all. The tab that holds the lock
// passes events on; when it is closed, another one takes its place, and asks for what came since.
function listen() {
  const channel = new BroadcastChannel("striate-events");
  const connect = () => {
    const stream = new EventSource(`${root}api/events?after=${encodeURIComponent(last)}`);
    stream.onmessage = (message) => {
      channel.postMessage([message.lastEventId, message.data]);
      take(message.lastEventId, message.data);
    };
    addEventListener("pagehide", () => stream.close());
  };
  channel.onmessage = (message) => take(...message.data);
  if (!navigator.locks) connect();
  else navigator.locks.request("striate-events", () => { connect(); return new Promise(() => {}); });
}
