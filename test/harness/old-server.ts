import { fromJson } from '@bufbuild/protobuf'
import { service } from '../../src/api/grpc/service.ts'
import { NotFoundError, UnimplementedError } from '../../src/base/errors.ts'
import {
  API as Pfs,
  BranchInfoSchema,
  CommitInfoSchema,
  ObjectAPI,
  RepoInfoSchema,
} from '../../src/gen/pfs_pb.ts'
import { API as Pps } from '../../src/gen/pps_pb.ts'
import { API as Version } from '../../src/gen/version_pb.ts'
import type { OldObjects } from '../../src/legacy/old-objects.ts'
import type { GrpcFixture } from '../../src/testing/grpc-fixture.ts'
import { expectedJobs, expectedPipelines } from '../migration/migrated.ts'
import type { ExpectedCluster } from './old-clusters.ts'

const lenient = { ignoreUnknownFields: true }

/**
 * Answers as the server of an old cluster did: lists from what that said, newest first, and objects from
 * its storage. As one that kept objects as files, it cannot list tags.
 */
export async function serveOldCluster(
  fixture: GrpcFixture,
  expected: ExpectedCluster,
  objects: OldObjects,
  version: { readonly major: number; readonly minor: number; readonly micro: number },
): Promise<number> {
  const repos = Object.values(expected.repos)
  return await fixture.serve(
    service(Version, { getVersion: async () => version }),
    service(Pfs, {
      listRepo: async () => ({
        repoInfo: repos.map(({ info }) => fromJson(RepoInfoSchema, info, lenient)),
      }),
      listCommit: async ({ repo }) => ({
        commitInfo: Object.values(expected.repos[repo?.name ?? '']?.commits ?? {}).map(({ info }) =>
          fromJson(CommitInfoSchema, info, lenient),
        ),
      }),
      listBranch: async ({ repo }) => ({
        branchInfo: (expected.repos[repo?.name ?? '']?.branches ?? []).map((json) =>
          fromJson(BranchInfoSchema, json, lenient),
        ),
      }),
    }),
    service(Pps, {
      listPipeline: async () => ({ pipelineInfo: [...expectedPipelines(expected)] }),
      listJob: async () => ({ jobInfo: [...expectedJobs(expected)] }),
    }),
    service(ObjectAPI, {
      async *getObject({ hash }) {
        for await (const value of objects.read(hash)) yield { value }
      },
      inspectObject: async ({ hash }) => ({
        object: { hash },
        blockRef: { range: { lower: 0n, upper: BigInt(await objects.sizeBytes(hash)) } },
      }),
      async inspectTag({ name }) {
        const hash = await objects.findTag(name)
        if (hash === undefined) throw new NotFoundError(`tag ${name} not found`)
        return { object: { hash } }
      },
      async *listTags() {
        yield await Promise.reject(new UnimplementedError('TODO'))
      },
    }),
  )
}
