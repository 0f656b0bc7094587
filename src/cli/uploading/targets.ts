import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { UnimplementedError } from '../../base/errors.ts'
import { parseFilePath } from '../../base/paths.ts'
import type { CommandContext } from '../command.ts'
import { UsageError } from '../errors.ts'
import { refuseReplaced } from '../parsing/not-utf8.ts'

/** A source, and the path it goes to. */
export interface Target {
  /** A local path, or `-` for standard input. */
  readonly source: string
  readonly path: string
}

/** What `--file` and `--input-file` name, in order; standard input when they name nothing. */
export async function readSourceNames({
  flags,
  input,
}: CommandContext): Promise<readonly string[]> {
  const lists = flags.list('input-file')
  if (lists.length === 0) return flags.list('file')
  const names: string[] = []
  for (const list of lists) {
    refuseUrl(list)
    const text = list === '-' ? await input.text() : await readFile(list, 'utf8')
    refuseReplaced(text, `a name in ${list === '-' ? 'the list' : list}`)
    names.push(...text.split(/\r?\n/).filter((line) => line !== ''))
  }
  const files = flags.list('file').filter((name) => name !== '-')
  return [...names, ...files]
}

/**
 * Where each source goes: a single one to `path`, several below it under their own names.
 *
 * @throws {UsageError} when standard input has no path to go to.
 * @throws {InvalidArgumentError} for a path that no repo can have.
 * @throws {UnimplementedError} for a URL.
 */
export function targetsOf(sources: readonly string[], path: string | undefined): readonly Target[] {
  const targets = targetsAsGiven(sources, path)
  // The server would refuse it too, but only after a commit was started for it.
  for (const target of targets) parseFilePath(target.path)
  return targets
}

function targetsAsGiven(sources: readonly string[], path: string | undefined): readonly Target[] {
  return sources.map((source) => {
    refuseUrl(source)
    if (source === '-' && (path === undefined || path === '')) {
      throw new UsageError(
        'no filename specified: say where standard input goes, as in put-file REPO BRANCH PATH',
      )
    }
    if (path !== undefined && path !== '' && sources.length === 1) return { source, path }
    if (source === '-') throw new UsageError('standard input cannot be one of several sources')
    return {
      source,
      path: path === undefined || path === '' ? ownName(source) : posix.join(path, ownName(source)),
    }
  })
}

/** A local path as a path in a repo: `/data/x` is `data/x`, `./d` is `d`, `.` is the root. */
function ownName(source: string): string {
  const clean = posix.normalize(source).replace(/^\/+|\/+$/g, '')
  return clean === '.' ? '' : clean
}

function refuseUrl(source: string): void {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):\/\//.exec(source)?.[1]
  if (scheme === undefined) return
  throw new UnimplementedError(
    `cannot put from ${source}: ${scheme} sources are not there yet; fetch it first, as in curl URL | pachctl put-file REPO BRANCH PATH`,
  )
}
