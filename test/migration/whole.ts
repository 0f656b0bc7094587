import { createHash } from 'node:crypto'
import { fromJson, toJson, type DescMessage, type JsonValue } from '@bufbuild/protobuf'
import {
  BranchInfoSchema,
  CommitInfoSchema,
  FileType,
  RepoInfoSchema,
} from '../../src/gen/pfs_pb.ts'
import { JobInfoSchema, PipelineInfoSchema } from '../../src/gen/pps_pb.ts'
import { readFile } from '../../src/client/file-transfers.ts'
import type { ExpectedCluster } from '../harness/old-clusters.ts'
import type { TestClient } from '../harness/test-pachd.ts'

export type Json = { readonly [key: string]: JsonValue }

/** Everything that a server says of a cluster, in the order in which it lists it. */
export interface Whole {
  readonly repos: readonly {
    readonly info: Json
    readonly branches: readonly Json[]
    readonly commits: readonly WholeCommit[]
  }[]
  readonly pipelines: readonly Json[]
  readonly jobs: readonly Json[]
}

export interface WholeCommit {
  readonly info: Json
  /** By path. */
  readonly files: Readonly<Record<string, { readonly size: number; readonly sha256: string }>>
  readonly directories: Readonly<Record<string, { readonly size: number }>>
}

/** As every server prints it: durations and numbers in one way. */
function normal(schema: DescMessage, json: JsonValue): Json {
  return toJson(schema, fromJson(schema, json)) as Json
}

export function expectedWhole(expected: ExpectedCluster): Whole {
  const repos = expected.raw.listRepo.map((info) => {
    const { branches, commits } = expected.repos[info.repo.name] ?? { branches: [], commits: {} }
    return {
      info: normal(RepoInfoSchema, info),
      branches: branches.map((branch) => normal(BranchInfoSchema, branch)),
      commits: Object.values(commits).map((commit) => ({
        info: normal(CommitInfoSchema, commit.info),
        files: Object.fromEntries(
          Object.entries(commit.files).map(([path, { size, sha256 }]) => [path, { size, sha256 }]),
        ),
        directories: Object.fromEntries(
          Object.entries(commit.dirs).map(([path, { size }]) => [path, { size }]),
        ),
      })),
    }
  })
  return {
    repos,
    pipelines: expected.raw.listPipeline.map((json) => normal(PipelineInfoSchema, json)),
    jobs: expected.raw.listJob.map((json) => normal(JobInfoSchema, json)),
  }
}

export async function servedWhole(pachd: TestClient): Promise<Whole> {
  const { pipelineInfo } = await pachd.pps.listPipeline({})
  const { jobInfo } = await pachd.pps.listJob({})
  const { repoInfo } = await pachd.pfs.listRepo({})
  const repos: Whole['repos'][number][] = []
  for (const info of repoInfo) {
    const repo = { name: info.repo?.name ?? '' }
    const { branchInfo } = await pachd.pfs.listBranch({ repo })
    const { commitInfo } = await pachd.pfs.listCommit({ repo })
    const commits: WholeCommit[] = []
    for (const commit of commitInfo) {
      const id = commit.commit?.id ?? ''
      const isOpen = commit.finished === undefined
      const tree = isOpen ? { files: {}, directories: {} } : await treeOf(pachd, repo.name, id)
      commits.push({ info: toJson(CommitInfoSchema, commit) as Json, ...tree })
    }
    repos.push({
      info: toJson(RepoInfoSchema, info) as Json,
      branches: branchInfo.map((branch) => toJson(BranchInfoSchema, branch) as Json),
      commits,
    })
  }
  return {
    repos,
    pipelines: pipelineInfo.map((info) => toJson(PipelineInfoSchema, info) as Json),
    jobs: jobInfo.map((info) => toJson(JobInfoSchema, info) as Json),
  }
}

async function treeOf(
  pachd: TestClient,
  repo: string,
  id: string,
): Promise<Pick<WholeCommit, 'files' | 'directories'>> {
  const commit = { repo: { name: repo }, id }
  const files: Record<string, WholeCommit['files'][string]> = {}
  const directories: Record<string, WholeCommit['directories'][string]> = {}
  const ahead = ['/']
  for (let path = ahead.pop(); path !== undefined; path = ahead.pop()) {
    const { fileInfo } = await pachd.pfs.listFile({ file: { commit, path } })
    for (const { file, fileType, sizeBytes } of fileInfo) {
      const found = file?.path ?? ''
      if (fileType === FileType.DIR) {
        directories[found] = { size: Number(sizeBytes) }
        ahead.push(found)
        continue
      }
      const hash = createHash('sha256')
      let size = 0
      for await (const piece of readFile(pachd.transport, { commit: { repo, id }, path: found })) {
        hash.update(piece)
        size += piece.length
      }
      files[found] = { size, sha256: hash.digest('hex') }
    }
  }
  return { files, directories }
}
