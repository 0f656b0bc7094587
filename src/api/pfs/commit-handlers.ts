import { concatBytes } from '../../base/bytes.ts'
import { create, toBinary } from '@bufbuild/protobuf'
import { InvalidArgumentError } from '../../base/errors.ts'
import {
  type API,
  type Commit,
  CommitInfosSchema,
  type FlushCommitRequest,
  type ListCommitRequest,
  type StartCommitRequest,
} from '../../gen/pfs_pb.ts'
import type { CommitInfo } from '../../versioning/commit-records.ts'
import type { NewCommit } from '../../versioning/commits.ts'
import type { StoredTrees } from '../../versioning/stored-trees.ts'
import type { Versioning } from '../../versioning/versioning.ts'
import type { ServiceHandlers } from '../grpc/service.ts'
import { commitInfoMessage, commitMessage } from './messages.ts'
import { requireCommit, requireCount, requireRepo, requireText } from './names.ts'
import { SingleMessage, streamedBy } from './single-message.ts'

export function commitHandlers(
  { commits, subscriptions }: Versioning,
  trees: StoredTrees,
): ServiceHandlers<typeof API> {
  return {
    async startCommit(request) {
      const { repo, id } = await commits.start(newCommit(request))
      return commitMessage(repo, id)
    },

    async buildCommit(request) {
      const root = requireText(request.tree?.hash, 'tree.hash', 'a tree is needed')
      const place = newCommit(request)
      const { repo, id } = await trees.with(root, (tree) => commits.build({ ...place, tree }))
      return commitMessage(repo, id)
    },

    async finishCommit({ commit: name, message }, { signal }) {
      const { repo, commit } = requireCommit(name)
      await commits.finish(repo, commit, { message, signal })
      return {}
    },

    async inspectCommit({ commit: name }) {
      const { repo, commit } = requireCommit(name)
      return commitInfoMessage(await commits.inspect(repo, commit))
    },

    listCommit: {
      async encoded(request) {
        const answer = new SingleMessage(
          `${streamedBy('list-commit', 'Commits/ListCommits')}; or ask for fewer commits, with \`number\`, \`from\` and \`to\``,
        )
        for await (const info of commits.list(listOptions(request))) {
          answer.add([encodeCommitInfo(info)])
        }
        // Not one write for each.
        return concatBytes(answer.pieces)
      },
    },

    async deleteCommit({ commit: name }) {
      const { repo, commit } = requireCommit(name)
      await commits.delete(repo, commit)
      return {}
    },

    async *flushCommit({ commits: names, toRepos }, { signal }) {
      const flushed = subscriptions.flush({ ...flushedNames({ commits: names, toRepos }), signal })
      for await (const info of flushed) yield commitInfoMessage(info)
    },

    async *subscribeCommit({ repo: name, branch, from }, { signal }) {
      const repo = requireRepo(name)
      const wanted = requireText(branch, 'branch', 'a branch name is needed')
      const start = idIn(repo, from, 'from')
      const options = { repo, branch: wanted, from: start, signal }
      for await (const info of subscriptions.subscribe(options)) {
        yield commitInfoMessage(info)
      }
    },
  }
}

/** Where a commit that is started, or built, goes. */
export function newCommit({
  parent,
  provenance,
  branch,
  message,
}: Pick<StartCommitRequest, 'parent' | 'provenance' | 'branch' | 'message'>): NewCommit {
  return {
    repo: requireRepo(parent?.repo, 'parent.repo'),
    parent: parent?.id === '' ? undefined : parent?.id,
    branch: branch === '' ? undefined : branch,
    message,
    provenance: provenanceOf(provenance),
  }
}

/** Each commit that is named, once. */
function provenanceOf(sources: StartCommitRequest['provenance']): NewCommit['provenance'] {
  const named = new Map<string, { readonly repo: string; readonly id: string }>()
  for (const source of sources) {
    const { repo, commit } = requireCommit(source, 'provenance')
    named.set(`${repo}/${commit}`, { repo, id: commit })
  }
  return [...named.values()]
}

/** What a flush is asked to wait for. */
export function flushedNames({
  commits,
  toRepos,
}: Pick<FlushCommitRequest, 'commits' | 'toRepos'>): Parameters<
  Versioning['subscriptions']['flushCauses']
>[0] {
  return {
    commits: commits.map((name) => requireCommit(name, 'commits')),
    toRepos: toRepos.map((repo) => requireRepo(repo, 'to_repos')),
  }
}

export function listOptions(
  request: Pick<ListCommitRequest, 'repo' | 'from' | 'to' | 'number'>,
): Parameters<Versioning['commits']['list']>[0] {
  const repo = requireRepo(request.repo)
  return {
    repo,
    from: idIn(repo, request.from, 'from'),
    to: idIn(repo, request.to, 'to'),
    countMax: requireCount(request.number, 'number'),
  }
}

/** The id in `commit`, which is left out or of `repo`. */
function idIn(repo: string, commit: Commit | undefined, what: string): string | undefined {
  if (commit === undefined || (commit.id === '' && commit.repo === undefined)) return undefined
  const name = requireCommit(commit, what)
  if (name.repo === repo) return name.commit
  throw new InvalidArgumentError(
    `${what} must be a commit of repo ${repo}, but it is one of repo ${name.repo}`,
  )
}

function encodeCommitInfo(info: CommitInfo): Uint8Array {
  const list = create(CommitInfosSchema, { commitInfo: [commitInfoMessage(info)] })
  return toBinary(CommitInfosSchema, list)
}
