import type { Clock } from '../../base/clock.ts'
import { newHexId, type Random } from '../../base/random.ts'
import { type DatumRun, WarmCommandError } from '../../pipelines/executor.ts'
import { canAssign, RewrittenFile, shellQuoted } from './environment.ts'
import { FifoReader } from './fifo.ts'
import { PipeWriter } from './pipe-writer.ts'
import { AnswerLines } from './runner-answers.ts'
import { continueAll, stopAll } from './stopping.ts'

/** What a warm command finds in its environment, besides what every command does. */
export function warmVariables(variablesPath: string): Readonly<Record<string, string>> {
  return {
    PACH_DATUM_VARIABLES: variablesPath,
    // What is printed belongs to the datum that is at hand.
    PYTHONUNBUFFERED: '1',
  }
}

/** What a slot has of its own for a command that stays. */
export interface WarmFiles {
  /** A named pipe that is the command's standard input. */
  readonly datumsFifo: string
  /** One that is its descriptor 3. */
  readonly resultsFifo: string
  /** On the host: a script that gives a shell the variables of the datum at hand. */
  readonly variablesFile: string
}

/** What runs the command. `End` is how it ended. */
export interface WarmCommand<End> {
  /** Starts it; resolves when it has ended, and nothing of it is left. */
  start(): Promise<End>
  /** Kills it, and all that it has started. */
  kill(): void
  /** Numbers of all processes that it consists of, as this machine has them. */
  processes(): readonly number[]
  /** Hands on what it has printed. */
  takeOutput(): void
  /** It has said for the first time that it is ready. */
  onReady?(): Promise<void>
}

interface Running<End> {
  readonly end: Promise<Ended<End>>
  hasEnded: boolean
  /** Those that may stay from datum to datum: it had them when it was ready. */
  own: ReadonlySet<number>
  /** Of the last line that it was given. */
  handedBytes: number
  /** Of the last datum that it has answered. */
  ticket: string
  /** Undefined while it may run. */
  stopped: readonly number[] | undefined
}

interface Exit {
  readonly kind: 'exit'
  readonly exitCode: number
}

interface Ended<End> {
  readonly kind: 'ended'
  readonly end: End
}

/** What is told of a datum. */
type WarmDatum = Pick<DatumRun, 'environment' | 'onWarming'>

const ticketDigits = 8
const exitCodeMax = 255
/** Whoever the user in a container is. */
const readableMode = 0o644

/**
 * A command that stays, and is handed one datum after the other; the words that pass between the
 * two are told to users in `docs/executors.md`. While it has no datum, none of its processes runs:
 * who looks at what it wrote can rely on that.
 */
export class WarmProgram<End> implements Disposable {
  readonly #command: WarmCommand<End>
  readonly #files: Disposable
  readonly #variables: RewrittenFile
  readonly #clock: Clock
  readonly #random: Random
  readonly #datums: PipeWriter
  readonly #results: FifoReader
  #running: Running<End> | undefined
  #lines = new AnswerLines()
  #words: string[] = []
  #isGarbled = false
  #wake = (): void => {}
  /** Variables that a shell may have from an earlier datum. */
  readonly #names = new Set<string>()

  constructor(
    command: WarmCommand<End>,
    files: WarmFiles,
    { clock, random }: { readonly clock: Clock; readonly random: Random },
  ) {
    this.#command = command
    this.#clock = clock
    this.#random = random
    using opened = new DisposableStack()
    this.#variables = opened.use(new RewrittenFile(files.variablesFile, readableMode))
    this.#datums = opened.use(new PipeWriter(files.datumsFifo))
    this.#results = opened.use(new FifoReader(files.resultsFifo, (bytes) => this.#take(bytes)))
    this.#files = opened.move()
  }

  /**
   * Hands over a datum, to a new command if need be, and waits for the result: an exit code. Or how
   * the command has ended, while it had the datum.
   *
   * @throws {WarmCommandError} when the command did not keep to the rules, and was ended.
   */
  async run(datum: WarmDatum): Promise<Exit | Ended<End>> {
    const running = this.#running
    if (running === undefined) return await this.#runIn(this.#start(), datum)
    const answer = await this.#runIn(running, datum)
    // It was on its way out when it was stopped, and has not looked at the datum.
    const isUnread = answer.kind === 'ended' && this.#datums.empty() === running.handedBytes
    return isUnread ? await this.#runIn(this.#start(), datum) : answer
  }

  async #runIn(
    running: Running<End>,
    { environment, onWarming }: WarmDatum,
  ): Promise<Exit | Ended<End>> {
    this.#writeVariables(environment)
    continueAll(running.stopped ?? [])
    running.stopped = undefined
    if (running.own.size === 0) {
      onWarming?.(true)
      const ready = await this.#word(running)
      onWarming?.(false)
      if (typeof ready !== 'string') return ready
      if (ready !== 'ready') await this.#break(running, `it said ${shown(ready)}, not "ready"`)
      await this.#command.onReady?.()
      running.own = new Set(this.#command.processes())
    }
    const ticket = newHexId(this.#random).slice(0, ticketDigits)
    const line = `${ticket} ${JSON.stringify(environment)}\n`
    running.handedBytes = Buffer.byteLength(line)
    void this.#datums.write(line, this.#clock, () => this.#running === running)
    const answer = await this.#word(running)
    if (typeof answer !== 'string') return answer
    const exitCode = exitCodeOf(answer, ticket)
    if (exitCode === undefined) return await this.#break(running, mistake(answer, running, ticket))
    running.ticket = ticket
    await this.#hold(running)
    const more = this.#words.shift()
    if (more !== undefined || this.#isGarbled) {
      await this.#break(running, `it answered twice, the second time ${shown(more ?? '')}`)
    }
    return { kind: 'exit', exitCode }
  }

  /** Waits for its end, if it runs; says nothing of how. */
  async ended(): Promise<void> {
    await this.#running?.end.catch(() => {})
  }

  [Symbol.dispose](): void {
    this.#running = undefined
    this.#files[Symbol.dispose]()
  }

  #start(): Running<End> {
    this.#datums.empty()
    this.#results.drain()
    this.#lines = new AnswerLines()
    this.#words = []
    this.#isGarbled = false
    const end = this.#command.start().then((ended): Ended<End> => ({ kind: 'ended', end: ended }))
    const running: Running<End> = {
      end,
      hasEnded: false,
      own: new Set(),
      handedBytes: 0,
      ticket: '',
      stopped: undefined,
    }
    const forget = (): void => {
      running.hasEnded = true
      if (this.#running === running) this.#running = undefined
      this.#wake()
    }
    // Whoever waits for it hears of an error.
    end.then(forget, forget)
    this.#running = running
    return running
  }

  /** The next line of the command's, or how it ended before it said one. */
  async #word(running: Running<End>): Promise<string | Ended<End>> {
    for (;;) {
      this.#results.drain()
      const word = this.#words.shift()
      if (word !== undefined) return word
      if (running.hasEnded) return await running.end
      if (this.#isGarbled) await this.#break(running, 'it wrote a line that is no answer')
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Has nothing of it run until the next datum. Where that cannot be, or the datum has left processes, it ends. */
  async #hold(running: Running<End>): Promise<void> {
    const stopped = running.hasEnded
      ? undefined
      : await stopAll(() => this.#command.processes(), this.#clock)
    // None at all: it is out of this process's sight.
    const isClean =
      stopped !== undefined && stopped.length > 0 && stopped.every((pid) => running.own.has(pid))
    if (isClean && !running.hasEnded) {
      running.stopped = stopped
      this.#results.drain()
      this.#command.takeOutput()
      return
    }
    await this.#end(running)
  }

  async #end(running: Running<End>): Promise<void> {
    if (!running.hasEnded) this.#command.kill()
    await running.end
    this.#results.drain()
  }

  async #break(running: Running<End>, what: string): Promise<never> {
    await this.#end(running)
    throw new WarmCommandError(`the warm command was ended: ${what}`)
  }

  #take(bytes: Buffer): void {
    if (this.#isGarbled) return
    const lines = this.#lines.push(bytes)
    // A datum has one answer: what is more is not kept.
    if (lines === undefined || this.#words.length + lines.length > 2) this.#isGarbled = true
    this.#words.push(...(lines ?? []).slice(0, 2))
    this.#wake()
  }

  #writeVariables(environment: Readonly<Record<string, string>>): void {
    const names = Object.keys(environment).filter(canAssign)
    const gone = Array.from(this.#names).filter((name) => !names.includes(name))
    const lines = [
      ...gone.map((name) => `unset ${name}\n`),
      ...names.map((name) => `export ${name}=${shellQuoted(environment[name] ?? '')}\n`),
    ]
    for (const name of names) this.#names.add(name)
    this.#variables.write(lines.join(''))
  }
}

/** Of a command that ended while it had a datum. `reason`: why, where that is known. */
export function warmEndError(exitCode: number, reason?: string): WarmCommandError {
  const how = `the warm command ended with exit code ${exitCode} before it had answered`
  return new WarmCommandError(reason === undefined ? how : `${how}: ${reason}`)
}

/** Undefined for anything but the answer to this ticket. */
function exitCodeOf(line: string, ticket: string): number | undefined {
  const [given, code = '', ...rest] = line.split(' ')
  if (given !== ticket || rest.length > 0 || !/^\d{1,3}$/.test(code)) return undefined
  return Number(code) <= exitCodeMax ? Number(code) : undefined
}

/** What was wrong with an answer that was none to this ticket. */
function mistake(answer: string, last: { readonly ticket: string }, ticket: string): string {
  const isLate = last.ticket !== '' && exitCodeOf(answer, last.ticket) !== undefined
  const instead = isLate ? 'it answered the datum before a second time' : `it said ${shown(answer)}`
  return `${instead}, not "${ticket}" and an exit code`
}

/** As it may be told: the words are user code's. */
function shown(word: string): string {
  return JSON.stringify(word)
}
