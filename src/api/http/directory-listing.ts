import { hexText } from '../../base/bytes.ts'
import { baseName, pathNames } from '../../base/paths.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { FileInfo } from '../../versioning/files.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { Listing, ListingRow } from './listings.ts'
import { linkToRoot } from './routes.ts'
import { isoText } from './times.ts'

const shortIdDigits = 12
const sizeFormat = new Intl.NumberFormat('en')

/** A directory of a commit. */
export interface ListedDirectory {
  readonly commit: CommitInfo
  /** As the URL has it: a branch, a tag or an id. */
  readonly commitName: string
  readonly info: FileInfo
  /** As in `Target`. */
  readonly depth: number
}

/** What the listing shows, in a few words that change when it does. */
export function directoryState({ commit, info }: ListedDirectory): string {
  return `${hexText(info.hash).slice(0, 32)}-${commit.id.slice(0, shortIdDigits)}-${commit.state.kind}`
}

/** What is in a directory. */
export function directoryListing(
  { files }: Versioning,
  directory: ListedDirectory,
  signal: AbortSignal,
): Listing {
  const { commit, commitName, info, depth } = directory
  const { repo, id } = commit
  const root = linkToRoot('files', depth)
  const names = pathNames(info.path)
  const linkTo = (path: readonly string[]): string =>
    root + path.map((name) => `${encodeURIComponent(name)}/`).join('')
  const here = linkTo(names)
  return {
    title: `${repo}@${commitName}:${info.path === '' ? '/' : info.path}`,
    trail: [
      { before: '', text: 'repos', href: `${root}../../../../` },
      { before: '/', text: repo, href: `${root}../../../` },
      { before: '@', text: commitName, href: root },
      ...names.map((name, index) => ({
        before: '/',
        text: name,
        href: linkTo(names.slice(0, index + 1)),
      })),
    ],
    facts: factsOf(directory),
    forms: [{ text: 'as JSON', href: `${here}?format=json` }],
    json: {
      repo,
      commit: id,
      path: info.path === '' ? '/' : info.path,
      finished: commit.state.kind === 'finished' ? isoText(commit.state.finishedAt) : null,
      ...jsonFacts(info),
    },
    sections: [
      {
        name: 'entries',
        columns: ['Name', { text: 'Bytes', isNumber: true }, { text: '', label: 'Download' }],
        rows: rowsOf(files.list({ repo, commit: id, path: info.path }, signal), here),
      },
    ],
  }
}

function factsOf({ commit, info }: ListedDirectory): readonly string[] {
  const { state, message, id } = commit
  const facts = [
    `commit ${id}`,
    state.kind === 'finished' ? `finished ${isoText(state.finishedAt)}` : 'open',
  ]
  if (info.entry.kind === 'directory') {
    const { fileCount } = info.entry
    const files = `${sizeFormat.format(fileCount)} ${fileCount === 1 ? 'file' : 'files'}`
    facts.push(`${files}, ${sizeFormat.format(info.sizeBytes)} bytes`)
  }
  const [firstLine = ''] = message.split('\n')
  return firstLine === '' ? facts : [...facts, `“${firstLine}”`]
}

async function* rowsOf(found: AsyncIterable<FileInfo>, here: string): AsyncGenerator<ListingRow> {
  for await (const info of found) {
    const name = baseName(info.path)
    const href = here + encodeURIComponent(name)
    const size = { text: sizeFormat.format(info.sizeBytes), isNumber: true } as const
    const json = { name, ...jsonFacts(info) }
    if (info.entry.kind === 'directory') {
      yield { cells: [{ text: `${name}/`, href: `${href}/` }, size, { text: '' }], json }
    } else {
      const shown = { text: name, href: `${href}?download=false` }
      const download = { text: 'download', href, label: `download ${name}` }
      yield { cells: [shown, size, download], json }
    }
  }
}

function jsonFacts({ entry, sizeBytes, hash }: FileInfo): Readonly<Record<string, unknown>> {
  return {
    type: entry.kind === 'file' ? 'file' : 'dir',
    sizeBytes,
    ...(entry.kind === 'directory' && { fileCount: entry.fileCount }),
    hash: hexText(hash),
  }
}
