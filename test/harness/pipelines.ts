import type { MessageInitShape } from '@bufbuild/protobuf'
import type { DurationSchema } from '@bufbuild/protobuf/wkt'
import type { InputSchema, JobInfo, TransformSchema } from '../../src/gen/pps_pb.ts'
import { freshName } from './expectations.ts'
import { collect, commitOf, getText } from './files.ts'
import type { TestClient } from './test-pachd.ts'

export type InputInit = MessageInitShape<typeof InputSchema>
export interface SpecInit {
  readonly description?: string
  readonly outputBranch?: string
  readonly egress?: { readonly URL: string; readonly secret?: string }
  readonly enableStats?: boolean
  readonly incremental?: boolean
  readonly service?: { readonly internalPort: number; readonly externalPort: number }
  readonly datumTries?: bigint
  readonly datumTimeout?: MessageInitShape<typeof DurationSchema>
}

/** Shell lines as user code, or a transform. */
export type CodeInit = string | MessageInitShape<typeof TransformSchema>

export function atomOf(repo: string, glob: string, name = ''): InputInit {
  return { atom: { repo, glob, name } }
}

/** Makes a pipeline of a name that no other test has; returns the name. */
export async function freshPipeline(
  { pps }: Pick<TestClient, 'pps'>,
  code: CodeInit,
  input: InputInit,
  more: SpecInit = {},
): Promise<string> {
  const name = freshName('pipeline')
  const transform = typeof code === 'string' ? { cmd: ['sh', '-e'], stdin: [code] } : code
  await pps.createPipeline({ pipeline: { name }, transform, input, ...more })
  return name
}

/** Waits for all that follows from a commit. */
export async function flush(
  { pfs }: Pick<TestClient, 'pfs'>,
  repo: string,
  id: string,
): Promise<void> {
  await collect(pfs.flushCommit({ commits: [commitOf(repo, id)] }))
}

/** Every file at the head of a pipeline's output: path → text. */
export async function outputOf(
  client: Pick<TestClient, 'pfs' | 'files'>,
  pipeline: string,
  branch = 'master',
): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {}
  const commit = commitOf(pipeline, branch)
  // Everything is new compared with a path that is not there.
  const differences = client.files.diffFiles({
    newFile: { commit, path: '/' },
    oldFile: { commit, path: '/no such path' },
  })
  for await (const { diffs } of differences) {
    for (const { newFile } of diffs) {
      const path = newFile?.file?.path ?? ''
      found[path] = await getText(client, { commit, path })
    }
  }
  return found
}

/** Jobs of a pipeline, newest first. */
export async function jobsOf(
  { pps }: Pick<TestClient, 'pps'>,
  pipeline: string,
): Promise<readonly JobInfo[]> {
  return (await pps.listJob({ pipeline: { name: pipeline } })).jobInfo
}

/** The newest job of a pipeline. */
export async function lastJobOf(
  client: Pick<TestClient, 'pps'>,
  pipeline: string,
): Promise<JobInfo> {
  const [job] = await jobsOf(client, pipeline)
  if (job === undefined) throw new Error(`pipeline ${pipeline} has no job`)
  return job
}
