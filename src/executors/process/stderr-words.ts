import type { DatumRun, LogLine } from '../../pipelines/executor.ts'

/** How a line begins that the runner's shell writes, in the words of dash, bash and BusyBox. */
const runnerWords = /^(?:\/\.pachyderm\/(?:runner\.sh|datum): (?:(?:line )?\d+: )?)+/
const runnerStart = '/.pachyderm/'
/** How shells, and programs that start others, say that they could not: of a file with its whole path. */
const complaints: readonly RegExp[] = [
  /^(?:.*?: )?[‘'"]?(\/[^:‘’'"]+)[’'"]?: (?:not found|no such file or directory|permission denied|exec format error|cannot execute.*|[^:]+: bad interpreter.*)$/i,
  // BusyBox reads what the kernel does not know as a script.
  /^(\/[^:]+): (?:line )?\d+: syntax error/i,
]
/** What shells print when a signal has ended what they started, and its number. */
const signalWords: ReadonlyMap<string, number> = new Map([
  ['Hangup', 1],
  ['Quit', 3],
  ['Illegal instruction', 4],
  ['Trace/breakpoint trap', 5],
  ['Aborted', 6],
  ['Bus error', 7],
  ['Floating point exception', 8],
  ['Killed', 9],
  ['User defined signal 1', 10],
  ['Segmentation fault', 11],
  ['User defined signal 2', 12],
  ['Alarm clock', 14],
  ['Terminated', 15],
])
/** Bash adds the number of the process, and how it was started. */
const signalLine = /^(?:\s*\d+ )?([A-Z][A-Za-z/]+(?: [a-z0-9]+)*)(?: \(core dumped\))?(?:$|\s{2,})/
/** An exit code that stands for a signal, without the signal's number. */
const signalBase = 128
/** Some add a line of advice. */
const keptLines = 3
const complaintLengthMax = 5000

/**
 * What a datum prints to standard error, as it is to be logged. What the runner's shell says of a program is told
 * without the runner's own names, which are none of the user's; that a signal ended the program, which the exit
 * code tells, is not. Remembers the last lines.
 */
export class StderrWords {
  readonly onLine: DatumRun['onLine']
  readonly onLeftOut: DatumRun['onLeftOut']
  readonly #receive: DatumRun['onLine']
  /** May be the runner's. */
  #held: LogLine | undefined
  #last: string[] = []

  constructor({ onLine, onLeftOut }: Pick<DatumRun, 'onLine' | 'onLeftOut'>) {
    this.#receive = onLine
    this.onLeftOut = onLeftOut
    this.onLine = (line) => {
      this.#flush()
      const told = withoutRunner(line)
      this.#last.push(told.text)
      if (this.#last.length > keptLines) this.#last.shift()
      if (signalOf(told) === undefined) onLine(told)
      else this.#held = told
    }
  }

  /** Nothing more comes. `exitCode`: how the runner says that the program ended, if it does. */
  end(exitCode?: number): void {
    const signal = this.#held && signalOf(this.#held)
    if (signal !== undefined && exitCode === signalBase + signal) this.#held = undefined
    this.#flush()
  }

  #flush(): void {
    if (this.#held !== undefined) this.#receive(this.#held)
    this.#held = undefined
  }

  /** The file that could not be started, as the last lines say. */
  get complaint(): string | undefined {
    for (const line of this.#last.toReversed()) {
      if (line.length > complaintLengthMax) continue
      for (const words of complaints) {
        const file = words.exec(line)?.[1]
        if (file !== undefined) return file
      }
    }
    return undefined
  }
}

function withoutRunner(line: LogLine): LogLine {
  if (!line.text.startsWith(runnerStart)) return line
  const { at, stream, text } = line
  const told = text.replace(runnerWords, '')
  return told === text ? line : { at, stream, text: told }
}

function signalOf({ text }: LogLine): number | undefined {
  const words = signalLine.exec(text)?.[1]
  return words === undefined ? undefined : signalWords.get(words)
}
