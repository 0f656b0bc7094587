// `npm start`: a server in this checkout, and a demonstration on the packages that are installed in
// it. All of it through the public API: each command that is shown is run as it is shown.

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

interface Options {
  readonly once: boolean
  readonly address: string
  readonly root: string
  readonly modules: string
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      address: { type: 'string', default: process.env['PACHD_ADDRESS'] ?? '127.0.0.1:30650' },
      root: { type: 'string', default: process.env['PACH_ROOT'] ?? '.pachyderm' },
      modules: { type: 'string', default: 'node_modules' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return undefined
  const { once, address } = values
  const root = resolve(project, values.root)
  return { once, address, root, modules: resolve(project, values.modules) }
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
    'pachctl list-job                                                   # what ran, and how long',
    'pachctl list-commit packages                                       # each state of the data',
    'pachctl get-logs --pipeline package-facts | tail -5                # what the code printed',
    'pachctl delete-file packages master zod                            # then list-job again',
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
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stop.abort())
  try {
    const options = readOptions()
    if (options === undefined) process.stdout.write(usage)
    else await runDemo(options, screen, stop.signal)
    return exitCodes.done
  } catch (error) {
    if (stop.signal.aborted || error instanceof StoppedError) return exitCodes.stopped
    process.stderr.write(`\n${failureText(error)}\n`)
    return error instanceof TypeError ? exitCodes.usage : exitCodes.failed
  }
}

/** Our own errors say what they mean; of others the stack is of use. */
function failureText(error: unknown): string {
  if (error instanceof PachdFailedError) {
    return `${error.message}\n\nAnother port: npm start -- --address 127.0.0.1:30651`
  }
  const isClear = error instanceof CommandFailedError || error instanceof JobFailedError
  if (isClear || !(error instanceof Error)) return String(error)
  return error.stack ?? error.message
}

process.exitCode = await main()
