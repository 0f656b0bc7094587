import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { RepoInfo } from '../../versioning/repos.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { Cell, Listing, ListingRow } from './listings.ts'
import { linkToRoot } from './routes.ts'
import { isoText } from './times.ts'

const sizeFormat = new Intl.NumberFormat('en')
const bytesColumn = { text: 'Bytes', isNumber: true } as const

/** All repos. `depth` as in `Target`. */
export function reposListing({ repos }: Versioning, depth: number): Listing {
  const root = linkToRoot('repos', depth)
  async function* rows(): AsyncGenerator<ListingRow> {
    for (const info of await repos.list()) yield repoRow(info, root)
  }
  return {
    title: 'repos',
    trail: [{ before: '', text: 'repos', href: root }],
    facts: [],
    forms: [{ text: 'as JSON', href: `${root}?format=json` }],
    json: {},
    sections: [{ name: 'repos', columns: ['Name', bytesColumn, 'Created', 'About'], rows: rows() }],
  }
}

function repoRow({ name, sizeBytes, createdAt, description }: RepoInfo, root: string): ListingRow {
  return {
    cells: [
      { text: name, href: `${root}${encodeURIComponent(name)}/` },
      sizeCell(sizeBytes),
      { text: isoText(createdAt) },
      { text: firstLine(description) },
    ],
    json: { name, sizeBytes, created: isoText(createdAt), description },
  }
}

/** The branches and the commits of a repo, those written last first. */
export function repoListing(
  { branches, commits }: Versioning,
  { name, description, sizeBytes, createdAt }: RepoInfo,
  depth: number,
): Listing {
  const root = linkToRoot('repos', depth)
  const here = `${root}${encodeURIComponent(name)}/`
  const linkTo = (commit: string): string => `${here}commits/${encodeURIComponent(commit)}/files/`
  async function* branchRows(): AsyncGenerator<ListingRow> {
    for (const { name: branch, head } of await branches.list(name)) {
      const cells = [{ text: branch, href: linkTo(branch) }, { text: head }]
      yield { cells, json: { name: branch, head } }
    }
  }
  async function* commitRows(): AsyncGenerator<ListingRow> {
    for await (const commit of commits.list({ repo: name })) {
      yield commitRow(commit, linkTo(commit.id))
    }
  }
  const created = isoText(createdAt)
  return {
    title: name,
    trail: [
      { before: '', text: 'repos', href: root },
      { before: '/', text: name, href: here },
    ],
    facts: [
      `created ${created}`,
      `${sizeFormat.format(sizeBytes)} bytes`,
      ...(description === '' ? [] : [firstLine(description)]),
    ],
    forms: [{ text: 'as JSON', href: `${here}?format=json` }],
    json: { repo: name, created, sizeBytes, description },
    sections: [
      { name: 'branches', columns: ['Branch', 'Head'], rows: branchRows() },
      {
        name: 'commits',
        columns: ['Commit', bytesColumn, 'Finished', 'About'],
        rows: commitRows(),
      },
    ],
  }
}

function commitRow(commit: CommitInfo, href: string): ListingRow {
  const { id, parent, startedAt, state, message } = commit
  const isFinished = state.kind === 'finished'
  const finished = isFinished ? isoText(state.finishedAt) : null
  return {
    cells: [
      { text: id, href },
      isFinished ? sizeCell(state.tree.sizeBytes) : { text: '', isNumber: true },
      { text: finished ?? 'open' },
      { text: firstLine(message) },
    ],
    json: {
      id,
      parent: parent ?? null,
      started: isoText(startedAt),
      finished,
      ...(isFinished && { sizeBytes: state.tree.sizeBytes }),
      message,
    },
  }
}

function sizeCell(sizeBytes: number): Cell {
  return { text: sizeFormat.format(sizeBytes), isNumber: true }
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}
