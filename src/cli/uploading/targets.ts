import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { parseFilePath } from '../../base/paths.ts'
import { hasPassword, isBarePfsUrl, isSourceUrl, parseSourceUrl } from '../../base/source-urls.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { refuseReplaced } from '../parsing/not-utf8.ts'

/** A source, and the path it goes to. */
export interface Target {
  /** A local path, or `-` for standard input. */
  readonly source: string
  readonly path: string
}

/** A source that the server fetches. */
export interface UrlTarget {
  readonly url: string
  readonly path: string
  /** It goes below `path`, under the name that the URL gives it. */
  readonly addsOwnName: boolean
}

/** Everything that is to be put, in order within each list. */
export interface Targets {
  readonly local: readonly Target[]
  readonly remote: readonly UrlTarget[]
}

/** What `--file` and `--input-file` name, in order; standard input when they name nothing. */
export async function readSourceNames({
  flags,
  input,
}: CommandContext): Promise<readonly string[]> {
  for (const name of flags.list('file')) refusePassword(name)
  refuseCutNames(flags.list('file'))
  const lists = flags.list('input-file')
  if (lists.length === 0) return flags.list('file')
  const names: string[] = []
  for (const list of lists) {
    const text = await readList(list, input)
    refuseReplaced(text, `a name in ${list === '-' ? 'the list' : list}`)
    names.push(...text.split(/\r?\n/).filter((line) => line !== ''))
  }
  const files = flags.list('file').filter((name) => name !== '-')
  return [...names, ...files]
}

/** A file's own commas look like those between files. @throws {UsageError} */
function refuseCutNames(names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    const whole = `${name},${names[index + 1] ?? ''}`
    if (index + 1 === names.length || existsSync(name) || !existsSync(whole)) continue
    throw new UsageError(
      `${name}: no such file; -f takes several files with commas between them, so put ${whole} by a list (-i) or by the directory that it is in (-r)`,
    )
  }
}

/**
 * Where each source goes: a single one to `path`, several below it under their own names.
 *
 * @throws {UsageError} when standard input has no path to go to.
 * @throws {InvalidArgumentError} for a path that no repo can have, or a URL of no kind that is known.
 */
export function targetsOf(sources: readonly string[], path: string | undefined): Targets {
  const isOnly = sources.length === 1
  const given = path === undefined || path === '' ? undefined : path
  const local: Target[] = []
  const remote: UrlTarget[] = []
  for (const source of sources) {
    if (isUrl(source)) remote.push(urlTarget(source, given, isOnly))
    else local.push(localTarget(source, given, isOnly))
  }
  // The server would refuse it too, but only after a commit was started for it.
  for (const target of [...local, ...remote]) parseFilePath(target.path)
  return { local, remote }
}

/** What looks like `host:port/repo/branch`, but is there, is a local file. */
function isUrl(source: string): boolean {
  return isBarePfsUrl(source) ? !existsSync(source) : isSourceUrl(source)
}

function urlTarget(url: string, path: string | undefined, isOnly: boolean): UrlTarget {
  parseSourceUrl(url)
  if (path !== undefined && isOnly) return { url, path, addsOwnName: false }
  return { url, path: path ?? '', addsOwnName: true }
}

function localTarget(source: string, path: string | undefined, isOnly: boolean): Target {
  if (source === '-' && path === undefined) {
    throw new UsageError(
      'no filename specified: say where standard input goes, as in put-file REPO BRANCH PATH',
    )
  }
  if (path !== undefined && isOnly) return { source, path }
  if (source === '-') throw new UsageError('standard input cannot be one of several sources')
  return {
    source,
    path: path === undefined ? ownName(source) : posix.join(path, ownName(source)),
  }
}

async function readList(list: string, input: CommandContext['input']): Promise<string> {
  if (list === '-') return input.text()
  if (!/^https?:\/\//i.test(list)) return readFile(list, 'utf8')
  refusePassword(list)
  const { fetchList } = await import('./fetched-list.ts')
  return fetchList(list)
}

/** A local path as a path in a repo: `/data/x` is `data/x`, `./d` is `d`, `.` is the root. */
function ownName(source: string): string {
  const clean = posix.normalize(source).replace(/^\/+|\/+$/g, '')
  return clean === '.' ? '' : clean
}

/** Whoever lists the processes of this machine sees the arguments of all. */
function refusePassword(source: string): void {
  if (!hasPassword(source)) return
  throw new UsageError(
    'a password in an argument can be seen by everybody on this machine: write the URL into a file that only you can read, and name that with -i FILE',
  )
}
