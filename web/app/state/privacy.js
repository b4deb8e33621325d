// Privacy requests of the companies that the person is a member of.

export class Privacy {
  #requests = new Map();

  constructor(session) {
    this.session = session;
  }

  async load() {
    for (const request of (await this.session.database.get("lists", "privacy")) ?? []) this.#requests.set(request.id, request);
  }

  follow(buzz) {
    for (const name of ["privacy_request.received", "privacy_request.updated"]) buzz.on(name, (request) => this.#take([request]));
  }

  /** Ask the server for what has changed since the newest change that is known. */
  async refresh() {
    const since = [...this.#requests.values()].map(({ updated_at: at }) => at).sort().at(-1);
    const found = [];
    for await (const request of this.session.buzz.http.privacyRequests(since)) found.push(request);
    await this.#take(found);
  }

  /** Open ones first, by their deadline; then the others, the newest first. */
  get all() {
    const { open, done } = Object.groupBy(this.#requests.values(), ({ completed }) => (completed ? "done" : "open"));
    return [
      ...(open ?? []).sort((a, b) => (a.deadline < b.deadline ? -1 : 1)),
      ...(done ?? []).sort((a, b) => (a.updated_at > b.updated_at ? -1 : 1)),
    ];
  }

  /** How many are open. */
  get open() {
    return this.all.filter(({ completed }) => !completed).length;
  }

  get(id) {
    return this.#requests.get(id);
  }

  /** Set fields of a request. Throws `HttpError`. */
  async change(id, changes) {
    await this.#take([await this.session.buzz.http.updatePrivacyRequest(id, changes)]);
  }

  /** The voicemail of a request, as an address that an audio element plays. */
  async recording(id) {
    return URL.createObjectURL(await this.session.buzz.http.recording(id));
  }

  async #take(requests) {
    if (!requests.length) return;
    for (const request of requests) this.#requests.set(request.id, request);
    this.session.topics.changed("privacy");
    await this.session.database.put("lists", [...this.#requests.values()], "privacy");
  }
}

/** What a consumer asks for, as names of texts. */
export function wishesOf({ web_form_session: form, call_session: call }) {
  if (call) return call.do_not_sell === false ? [] : ["wishStop"];
  if (!form) return [];
  const wishes = { tell_me: "wishTell", send_me: "wishSend", delete_me: "wishDelete", do_not_sell: "wishStop" };
  return Object.entries(wishes).flatMap(([field, text]) => (form[field] ? [text] : []));
}

/** The consumer's name. */
export const consumerOf = ({ web_form_session: form, call_session: call }) =>
  (form ? `${form.first_name} ${form.last_name}`.trim() : call?.caller_name || call?.caller_id) || null;

const DAY_MS = 86_400_000;
/** Whole days from today (UTC) to a day; negative if it is over. */
export const daysLeft = (day, now = Date.now()) => Math.round((Date.parse(day) - Math.floor(now / DAY_MS) * DAY_MS) / DAY_MS);
