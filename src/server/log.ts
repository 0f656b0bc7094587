import type { Clock } from '../base/clock.ts'

/** What a line of the log adds to its text. Never secrets: tokens, environments, contents. */
export type LogFacts = Readonly<Record<string, string | number | undefined>>

const microsPerMilli = 1000

/** One line for each thing that whoever runs the server should know. */
export class Log {
  readonly #clock: Clock
  readonly #write: (line: string) => void

  /** `write` is given whole lines, with their newline. */
  constructor(clock: Clock, write: (line: string) => void) {
    this.#clock = clock
    this.#write = write
  }

  info(text: string, facts: LogFacts = {}): void {
    this.#line('info', text, facts)
  }

  warning(text: string, facts: LogFacts = {}): void {
    this.#line('warning', text, facts)
  }

  /** A call that failed by a fault of ours; its caller was told `reference` only. */
  failure(reference: string, path: string, error: unknown): void {
    this.#line('error', 'a call failed unexpectedly', { reference, path, error: describe(error) })
  }

  /** Work that nobody waits for met an error of ours. */
  error(text: string, error: unknown): void {
    this.#line('error', text, { error: describe(error) })
  }

  #line(level: string, text: string, facts: LogFacts): void {
    const at = new Date(this.#clock.now() / microsPerMilli).toISOString()
    const pairs = Object.entries(facts).map(([name, value]) =>
      value === undefined ? '' : ` ${name}=${factText(value)}`,
    )
    this.#write(`${at} ${level.padEnd(7)} ${text}${pairs.join('')}\n`)
  }
}

/** Plain where that is unambiguous, else quoted, so that a line stays one line. */
function factText(value: string | number): string {
  const text = String(value)
  return /^[\w./:@+-]+$/.test(text) ? text : JSON.stringify(text)
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by: ${describe(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}
