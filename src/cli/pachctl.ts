import type { Readable, Writable } from 'node:stream'
import { SystemClock } from '../base/clock.ts'
import { ActiveTransaction } from './active-transaction.ts'
import type { CommandContext, CommandRun, CommandSpec, UpgradeStore } from './command.ts'
import { findCommand, loadFamilies } from './command-table.ts'
import { readAddress } from './config.ts'
import { UsageError } from './errors.ts'
import { Input } from './input.ts'
import { LazyTransport } from './lazy-transport.ts'
import { Output, OutputClosedError } from '../base/output.ts'
import { parseCommand } from './parsing/command-line.ts'
import { refuseReplaced } from './parsing/not-utf8.ts'

/** The parts of a process that pachctl uses; each is asked for when it is needed. */
export interface PachctlProcess {
  /** With Node and the program first. */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: Writable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

/** What of the server a command may use without one that runs. */
export interface PachctlPrograms {
  readonly upgradeStore: () => Promise<UpgradeStore>
}

const exitCodes = { done: 0, failed: 1 } as const

/** Runs one command. Returns the exit code. */
export async function runPachctl(
  process: PachctlProcess,
  programs: PachctlPrograms,
): Promise<number> {
  const out = new Output(process.stdout)
  let command: CommandSpec | undefined
  try {
    const typed = process.argv.slice(2)
    for (const word of typed) refuseReplaced(word, `argument ${JSON.stringify(word)}`)
    const [name, words] = splitWords(typed)
    const topic = name === undefined ? undefined : await topicText(name)
    if (name === undefined || name === 'help') await out.write(await helpText(words))
    else if (topic !== undefined) await out.write(topic)
    else {
      command = await findCommand(name, words.at(0))
      await runCommand(command, words, { process, programs, out })
    }
    await out.flush()
    return exitCodes.done
  } catch (error) {
    if (error instanceof OutputClosedError) return error.exitCode
    const [{ errorText }, { missingNotice }] = await Promise.all([
      import('./error-text.ts'),
      import('./missing-notice.ts'),
    ])
    // Where nobody hears of it, the exit code says it.
    process.stderr.on('error', () => undefined)
    process.stderr.write(errorText(error, command) + missingNotice(error, command, process.env))
    return exitCodes.failed
  }
}

/** The command, and all other words: flags may stand before it. */
function splitWords(words: readonly string[]): readonly [string | undefined, readonly string[]] {
  const index = words.findIndex((word) => !word.startsWith('-'))
  return index === -1 ? [undefined, words] : [words[index], words.toSpliced(index, 1)]
}

/** The words that are commands in 1.5 only to explain themselves. */
async function topicText(name: string): Promise<string | undefined> {
  if (name.includes('-')) return undefined
  const { helpTopic } = await import('./help.ts')
  return helpTopic(name)
}

async function helpText(words: readonly string[]): Promise<string> {
  const { commandHelp, generalHelp, helpTopic } = await import('./help.ts')
  const topic = words.find((word) => !word.startsWith('-'))
  if (topic !== undefined) return helpTopic(topic) ?? commandHelp(await findCommand(topic))
  const unknown = words.find((word) => !/^(-h|--help|-v|--verbose|--no-metrics)$/.test(word))
  if (unknown !== undefined) throw new UsageError(`unknown flag: ${unknown}; see pachctl --help`)
  return generalHelp(await loadFamilies())
}

async function runCommand(
  command: CommandSpec,
  words: readonly string[],
  {
    process,
    programs,
    out,
  }: {
    readonly process: PachctlProcess
    readonly programs: PachctlPrograms
    readonly out: Output
  },
): Promise<void> {
  const { args, flags, wantsHelp } = await parseCommand(command, words)
  if (wantsHelp) {
    const { commandHelp } = await import('./help.ts')
    await out.write(commandHelp(command))
    return
  }
  const clock = new SystemClock()
  const address = readAddress(process.env)
  const activeTransaction = new ActiveTransaction(process.env, address)
  await using transport = new LazyTransport(address, clock)
  const run = await command.load()
  await runBeside(command, run, {
    args,
    flags,
    input: new Input(() => process.stdin),
    out,
    err: new Output(process.stderr, { mayBeLost: true }),
    clock,
    environment: process.env,
    address,
    transport,
    activeTransaction,
    upgradeStore: async function* upgradeStore(root, kind) {
      const log = (line: string): void => void process.stderr.write(line)
      yield* (await programs.upgradeStore())({ root, kind, environment: process.env, log })
    },
  })
}

/** Runs a command as part of the active transaction, or beside it, if there is one. */
async function runBeside(
  command: CommandSpec,
  run: CommandRun,
  context: CommandContext,
): Promise<void> {
  const { inTransaction: place } = command
  const how = typeof place === 'function' ? place(context.flags) : place
  const id = how === undefined ? undefined : context.activeTransaction.id
  if (id === undefined) return run(context)
  const { RecordingTransport, besideNotice } = await import('./recording-transport.ts')
  if (how === 'beside') {
    await context.err.line(besideNotice(command.name, id))
    return run(context)
  }
  await run({ ...context, transport: new RecordingTransport(context.transport, id) })
  await context.err.line(`added to transaction ${id}`)
}
