// `npm start`: a server in this checkout, and a demonstration on the packages that are installed in
// it. All of it through the public API: each command that is shown is run as it is shown.

import { existsSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Pachd, PachdFailedError } from './demo/pachd.ts'
import { JobFailedError, Processing } from './demo/processing.ts'
import { Screen } from './demo/screen.ts'
import { ServerCalls } from './demo/server-calls.ts'
import { CommandFailedError, Shell, StoppedError } from './demo/shell.ts'
import { Story } from './demo/story.ts'

const usage = `npm start -- [--once] [--address HOST:PORT] [--root DIR] [--modules DIR]

  --once                stop the server at the end instead of waiting for Ctrl-C
  --address HOST:PORT   where the server listens; port 0 picks a free one
                        (or PACHD_ADDRESS; default 127.0.0.1:30650)
  --root DIR            its data directory (or PACH_ROOT; default .pachyderm)
  --modules DIR         the packages to look at (default node_modules)
`

const project = fileURLToPath(new URL('..', import.meta.url))
const exitCodes = { done: 0, failed: 1, usage: 2, stopped: 130 } as const

/** The command line, or what it names, makes no sense. */
class UsageError extends Error {
  override readonly name = 'UsageError'
}

interface Options {
  readonly once: boolean
  readonly address: string
  readonly root: string
  readonly modules: string
}

/** Undefined when help is asked for. @throws {UsageError} */
function readOptions(): Options | undefined {
  const { once, help, ...given } = parseFlags()
  if (help === true) return undefined
  const options = {
    once: once ?? false,
    address: given.address ?? process.env['PACHD_ADDRESS'] ?? '127.0.0.1:30650',
    root: resolve(project, given.root ?? process.env['PACH_ROOT'] ?? '.pachyderm'),
    modules: resolve(project, given.modules ?? 'node_modules'),
  }
  if (!existsSync(options.modules)) {
    throw new UsageError(
      `${options.modules} does not exist: install packages with npm ci, or name another directory`,
    )
  }
  return options
}

function parseFlags(): {
  readonly once?: boolean | undefined
  readonly help?: boolean | undefined
  readonly address?: string | undefined
  readonly root?: string | undefined
  readonly modules?: string | undefined
} {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: 'boolean' },
        address: { type: 'string' },
        root: { type: 'string' },
        modules: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    return values
  } catch (error) {
    // Node's texts name the argument that it does not understand.
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

/** A path as it is shorter: from the checkout, or absolute. */
function shortPath(path: string): string {
  const fromProject = relative(project, path)
  return fromProject.startsWith('..') ? path : fromProject
}

async function runDemo(options: Options, screen: Screen, stop: AbortSignal): Promise<void> {
  const startedMs = performance.now()
  screen.title('Pachyderm: data that is versioned, and processes itself')
  const { root, address: asked } = options
  const onWarning = (line: string): void => screen.text(`pachd says: ${line}`)
  await using pachd = await Pachd.start({ project, root, address: asked, onWarning })
  const { address } = pachd
  await using calls = new ServerCalls(address)
  const { version, notices } = await calls.admin.inspectServer({})
  const readyMs = performance.now() - startedMs
  screen.result(`pachd ${version} is ready on ${address}, data in ${shortPath(root)}`, readyMs)
  for (const notice of notices) screen.text(`Note: ${notice}.`)
  const shell = new Shell({ screen, project, address, signal: stop })
  const processing = new Processing({ calls, shell, screen })
  const modules = shortPath(options.modules)
  await new Story({ screen, shell, calls, processing, project, modules }).tell()
  screen.blank()
  screen.result('That was the whole story.', performance.now() - startedMs)
  if (options.once) return
  showNextSteps(screen, address)
  await Promise.race([aborted(stop), pachd.ended])
  if (!stop.aborted) throw new PachdFailedError('pachd ended by itself')
  screen.blank()
  screen.text('Stopping the server.')
}

function showNextSteps(screen: Screen, address: string): void {
  screen.title('What to try next, in another terminal')
  const steps = [
    `export ADDRESS=${address} PATH="$PWD/bin:$PATH"`,
    'pachctl get-file bill-of-materials master chart.svg > chart.svg    # open it in a browser',
    'pachctl list-commit packages                                       # each state of the data',
    'echo "{}" | pachctl put-file packages master mine/package.json -c  # one package more',
    'pachctl list-job                                                   # what that made run',
    'pachctl get-logs --pipeline package-facts | tail -5                # what the code printed',
  ]
  for (const step of steps) screen.command(step)
  screen.blank()
  screen.text('The server goes on until Ctrl-C. docs/quick-start.md explains what you have seen.')
}

function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve: settle } = Promise.withResolvers<void>()
  if (signal.aborted) settle()
  else signal.addEventListener('abort', () => settle(), { once: true })
  return promise
}

async function main(): Promise<number> {
  const screen = new Screen(process.stdout)
  const stop = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort())
  process.stdout.on('error', () => stop.abort()) // the reader has gone
  try {
    const options = readOptions()
    if (options === undefined) process.stdout.write(usage)
    else await runDemo(options, screen, stop.signal)
    return exitCodes.done
  } catch (error) {
    if (stop.signal.aborted || error instanceof StoppedError) return exitCodes.stopped
    process.stderr.write(`\n${failureText(error)}\n`)
    return error instanceof UsageError ? exitCodes.usage : exitCodes.failed
  }
}

/** Our own errors say what they mean; of others the stack is of use. */
function failureText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof UsageError) return `${error.message}\n\n${usage}`
  if (error instanceof PachdFailedError) return `${error.message}${adviceOn(error.message)}`
  if (error instanceof CommandFailedError || error instanceof JobFailedError) return error.message
  return error.stack ?? error.message
}

/** What to type when the place is taken, by an earlier `npm start` most likely. */
function adviceOn(message: string): string {
  const once = process.argv.includes('--once') ? ' --once' : ''
  const port = `npm start --${once} --address 127.0.0.1:30651`
  if (message.includes('another server is running')) {
    return (
      '\n\nAn earlier npm start may still be there: end it with Ctrl-C, or go on with it. ' +
      `To run beside it:\n  ${port} --root /tmp/pachyderm`
    )
  }
  return message.includes('cannot listen') ? `\n\nOn another port:\n  ${port}` : ''
}

process.exitCode = await main()
