import { createHash } from 'node:crypto'
import { fromJson, type JsonValue } from '@bufbuild/protobuf'
import type { Timestamp } from '@bufbuild/protobuf/wkt'
import {
  BranchInfoSchema,
  type CommitInfo,
  CommitInfoSchema,
  FileType,
  type RepoInfo,
  RepoInfoSchema,
} from '../../src/gen/pfs_pb.ts'
import {
  JobInfoSchema,
  type JobInfo,
  PipelineInfoSchema,
  type PipelineInfo,
} from '../../src/gen/pps_pb.ts'
import { readFile } from '../../src/client/file-transfers.ts'
import type { ExpectedCluster } from '../harness/old-clusters.ts'
import type { TestPachd } from '../harness/test-pachd.ts'

/** What of a cluster must be the same before and after, by repo. */
export interface Contents {
  readonly [repo: string]: {
    readonly info: unknown
    readonly branches: Readonly<Record<string, string>>
    readonly commits: Readonly<Record<string, CommitFacts>>
  }
}

interface CommitFacts {
  readonly info: unknown
  /** Path → SHA-256. */
  readonly files: Readonly<Record<string, string>>
  readonly directories: readonly string[]
}

const lenient = { ignoreUnknownFields: true }

/** Down to the microsecond. */
function timeText(time: Timestamp | undefined): string {
  if (time === undefined) return 'never'
  return `${time.seconds}.${String(Math.floor(time.nanos / 1000)).padStart(6, '0')}`
}

function repoFacts(info: RepoInfo, provenance: readonly string[]): unknown {
  const { description, sizeBytes } = info
  return { created: timeText(info.created), description, sizeBytes, provenance }
}

function commitFacts(info: CommitInfo): unknown {
  return {
    parent: info.parentCommit?.id ?? '',
    started: timeText(info.started),
    finished: timeText(info.finished),
    sizeBytes: info.sizeBytes,
    provenance: info.provenance.map(({ repo, id }) => `${repo?.name}/${id}`).toSorted(),
  }
}

/**
 * All repos that a repo is made from. An update of a pipeline made 1.5 forget those that are far; they
 * are known again here.
 */
function closureOf(name: string, expected: ExpectedCluster): readonly string[] {
  const found = new Set<string>()
  const ahead = [name]
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    const info = expected.repos[next]?.info
    if (info === undefined) continue
    for (const repo of fromJson(RepoInfoSchema, info, lenient).provenance) {
      if (found.has(repo.name)) continue
      found.add(repo.name)
      ahead.push(repo.name)
    }
  }
  return [...found].toSorted()
}

export function expectedContents(expected: ExpectedCluster): Contents {
  const contents: Record<string, Contents[string]> = {}
  for (const [name, repo] of Object.entries(expected.repos)) {
    const branches = repo.branches.map((json) => fromJson(BranchInfoSchema, json, lenient))
    const commits: Record<string, CommitFacts> = {}
    for (const [id, commit] of Object.entries(repo.commits)) {
      commits[id] = {
        info: commitFacts(fromJson(CommitInfoSchema, commit.info, lenient)),
        files: Object.fromEntries(
          Object.entries(commit.files).map(([path, { sha256 }]) => [path, sha256]),
        ),
        directories: Object.keys(commit.dirs)
          .filter((path) => path !== '' && path !== '/')
          .toSorted(),
      }
    }
    contents[name] = {
      info: repoFacts(fromJson(RepoInfoSchema, repo.info, lenient), closureOf(name, expected)),
      branches: Object.fromEntries(branches.map((branch) => [branch.name, branch.head?.id ?? ''])),
      commits,
    }
  }
  return contents
}

/** The same of a server that runs. */
export async function servedContents(pachd: TestPachd): Promise<Contents> {
  const contents: Record<string, Contents[string]> = {}
  const { repoInfo } = await pachd.pfs.listRepo({})
  for (const info of repoInfo) {
    const name = info.repo?.name ?? ''
    const { branchInfo } = await pachd.pfs.listBranch({ repo: { name } })
    const { commitInfo } = await pachd.pfs.listCommit({ repo: { name } })
    const commits: Record<string, CommitFacts> = {}
    for (const commit of commitInfo) {
      const id = commit.commit?.id ?? ''
      commits[id] = { info: commitFacts(commit), ...(await treeFacts(pachd, name, id)) }
    }
    contents[name] = {
      info: repoFacts(info, info.provenance.map((repo) => repo.name).toSorted()),
      branches: Object.fromEntries(
        branchInfo.map((branch) => [branch.name, branch.head?.id ?? '']),
      ),
      commits,
    }
  }
  return contents
}

async function treeFacts(
  pachd: TestPachd,
  repo: string,
  id: string,
): Promise<Pick<CommitFacts, 'files' | 'directories'>> {
  const commit = { repo: { name: repo }, id }
  const files: Record<string, string> = {}
  const directories: string[] = []
  const ahead = ['/']
  for (let path = ahead.pop(); path !== undefined; path = ahead.pop()) {
    const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path } })
    for (const { file, fileType } of fileInfo) {
      const found = file?.path ?? ''
      if (fileType === FileType.DIR) {
        directories.push(found)
        ahead.push(found)
        continue
      }
      const hash = createHash('sha256')
      const bytes = readFile(pachd.transport, { commit: { repo, id }, path: found })
      for await (const piece of bytes) hash.update(piece)
      files[found] = hash.digest('hex')
    }
  }
  return { files, directories: directories.toSorted() }
}

/** Names of states in 1.4, in those of 1.5. */
function modern(json: JsonValue): JsonValue {
  const text = JSON.stringify(json)
    .replaceAll('JOB_STOPPED', 'JOB_KILLED')
    .replaceAll('PIPELINE_STOPPED', 'PIPELINE_PAUSED')
  return JSON.parse(text) as JsonValue
}

export function expectedPipelines(expected: ExpectedCluster): readonly PipelineInfo[] {
  return expected.raw.listPipeline.map((json) =>
    fromJson(PipelineInfoSchema, modern(json), lenient),
  )
}

export function expectedJobs(expected: ExpectedCluster): readonly JobInfo[] {
  return expected.raw.listJob.map((json) => fromJson(JobInfoSchema, modern(json), lenient))
}

/** Open commits are another thing before and after. */
export function withoutOpen(contents: Contents): Contents {
  return Object.fromEntries(
    Object.entries(contents).map(([name, repo]) => [
      name,
      {
        ...repo,
        commits: Object.fromEntries(
          Object.entries(repo.commits).filter(
            ([, { info }]) => (info as { readonly finished: string }).finished !== 'never',
          ),
        ),
      },
    ]),
  )
}

/** What the code of a pipeline has printed. */
export async function logOf(pachd: TestPachd, pipeline: string): Promise<readonly string[]> {
  const lines: string[] = []
  for await (const { message, user } of pachd.pps.getLogs({ pipeline: { name: pipeline } })) {
    if (user) lines.push(message.trim())
  }
  return lines
}
