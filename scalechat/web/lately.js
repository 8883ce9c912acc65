/**
 * The last fifteen minutes as one server told them, kept in this page and brought up to date with what is new.
 *
 * @module lately
 */

/** As long as the server remembers. */
export const SPAN_S = 900;
/** Seconds without a sample from which on a line is broken: the server was away, and nobody knows what was. */
const HOLE_S = 5;

export class Lately {
  #columns = { unix_s: [] };

  /** The last second that is known; 0 when none is. */
  get newest() {
    return this.#columns.unix_s.at(-1) ?? 0;
  }

  /** @returns {(number | null)[]} a figure, one value for each of the seconds in `column("unix_s")` */
  column(name) {
    return this.#columns[name] ?? [];
  }

  /** Add what the server says is new, forget what is too old. @param {Record<string, (number | null)[]>} fresh */
  add(fresh) {
    if (fresh.unix_s.length === 0) return;
    const { newest } = this;
    const oldest = fresh.unix_s.at(-1) - SPAN_S;
    const from = this.#columns.unix_s.filter((second) => second <= oldest).length;
    const hole = newest > 0 && fresh.unix_s[0] - newest > HOLE_S;
    const joined = Object.entries(fresh).map(([name, values]) => {
      const between = hole ? [name === "unix_s" ? newest + 1 : null] : [];
      return [name, [...this.column(name).slice(from), ...between, ...values]];
    });
    this.#columns = Object.fromEntries(joined);
  }
}
