import type { JsonValue } from '@bufbuild/protobuf'
import { expect } from 'vitest'
import type { OldClusterName } from '../harness/old-clusters.ts'
import type { Json, Whole, WholeCommit } from './whole.ts'

/** How what is served here differs from what 1.5 said of the same cluster, on purpose. */
interface Difference {
  readonly why: string
  readonly repo?: (info: Json) => Json
  readonly commit?: (info: Json) => Json
  readonly pipeline?: (info: Json) => Json
  readonly job?: (info: Json) => Json
}

const anyText = expect.any(String) as string
const uuid: string = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/) as string
const hash: string = expect.stringMatching(/^[0-9a-f]{64}$/) as string

/** What 1.5 gives new pipelines, where the record says nothing. */
const defaults = { image: 'ubuntu:16.04', cacheSize: '64M', resourceSpec: { memory: '64M' } }

const timeNames = new Set(['created', 'createdAt', 'started', 'finished'])

/** The text at a path in a message; empty where there is none. */
function textIn(json: JsonValue | undefined, ...path: readonly string[]): string {
  const found = path.reduce<JsonValue | undefined>(
    (part, name) => (part as Json | undefined)?.[name],
    json,
  )
  return typeof found === 'string' ? found : ''
}

function toMicros(info: Json): Json {
  return Object.fromEntries(
    Object.entries(info).map(([name, value]) =>
      timeNames.has(name)
        ? [
            name,
            textIn(value)
              .replace(/(\.\d{6})\d*Z$/, '$1Z')
              .replace(/\.000000Z$/, 'Z'),
          ]
        : [name, value],
    ),
  )
}

/** Of a duration. */
function toMillis(text: string): string {
  const ms = Math.round(Number(text.slice(0, -1)) * 1000)
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${(ms / 1000).toFixed(3)}s`
}

function withImage(info: Json): Json {
  return { ...info, transform: { image: defaults.image, ...(info['transform'] as Json) } }
}

/** Of every cluster, however it was reached. */
const differences: readonly Difference[] = [
  {
    why: 'times are kept to the microsecond',
    repo: toMicros,
    commit: toMicros,
    pipeline: toMicros,
    job: toMicros,
  },
  {
    why: 'trees are stored in another form, and have other hashes',
    commit: (info) => ('tree' in info ? { ...info, tree: { hash } } : info),
  },
  {
    why: 'what takes part in a pipeline is measured in milliseconds; clients need every part of it',
    job: (info) => {
      const stats = (info['stats'] ?? {}) as Json
      const times = ['downloadTime', 'processTime', 'uploadTime']
      const parts = times.map((name) => [name, toMillis(textIn(stats, name) || '0s')])
      return { ...info, stats: { ...stats, ...Object.fromEntries(parts) } }
    },
  },
  {
    why: 'defaults that 1.5 fills in when workers start are filled in when a spec is read',
    pipeline: (info) =>
      withImage({ cacheSize: defaults.cacheSize, resourceSpec: defaults.resourceSpec, ...info }),
    job: (info) => withImage({ resourceSpec: defaults.resourceSpec, ...info }),
  },
  {
    why: 'pipelines of 1.4 have no salt, and those of 1.5 no id: they are made up, always the same',
    pipeline: (info) => ({ id: anyText, salt: uuid, ...info }),
    job: (info) => ({ salt: anyText, ...info }),
  },
  {
    why: 'the token of a pipeline is for the access control of the old server, and a secret',
    pipeline: (info) =>
      Object.fromEntries(Object.entries(info).filter(([name]) => name !== 'capability')),
  },
  {
    why: 'the request says that pipelines come paused, and that jobs that had not ended were killed',
    pipeline: (info) => ({ ...info, state: 'PIPELINE_PAUSED' }),
    job: (info) =>
      info['state'] === 'JOB_RUNNING' || info['state'] === 'JOB_STARTING'
        ? {
            ...info,
            state: 'JOB_KILLED',
            reason: 'it had not ended in the cluster that was migrated',
          }
        : info,
  },
  {
    why: 'pipelines here say where they run, and what is odd about their specs',
    pipeline: (info) => {
      const input = (info['input'] ?? {}) as Json
      const notices = ['is read as in 1.5', 'starts in the past']
      const odd =
        'cron' in input ? { notices: notices.map((text) => expect.stringContaining(text)) } : {}
      return { ...info, runsIn: 'process', ...odd }
    },
  },
]

type Ordered = readonly Json[]

function sorted(list: unknown): Ordered {
  return ((list ?? []) as Ordered).toSorted((left, right) =>
    JSON.stringify(left) < JSON.stringify(right) ? -1 : 1,
  )
}

function inOrder(info: Json): Json {
  return 'provenance' in info ? { ...info, provenance: [...sorted(info['provenance'])] } : info
}

/** Provenance is a set: 1.5 lists it in any order. */
export function withSortedProvenance(whole: Whole): Whole {
  return {
    ...whole,
    repos: whole.repos.map(({ info, branches, commits }) => ({
      info: inOrder(info),
      branches,
      commits: commits.map((commit) => ({ ...commit, info: inOrder(commit.info) })),
    })),
  }
}

/** An update of a pipeline made 1.5 forget repos far upstream: here they are known again. */
function withFarProvenance({ repos }: Whole): ReadonlyMap<string, Ordered> {
  const direct = new Map(
    repos.map(({ info }) => [nameIn(info, 'repo'), sorted(info['provenance'])]),
  )
  const closureOf = (name: string): ReadonlySet<string> => {
    const found = new Set<string>()
    const ahead = [name]
    for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
      for (const above of direct.get(next) ?? []) {
        const text = textIn(above, 'name')
        if (!found.has(text)) ahead.push(text)
        found.add(text)
      }
    }
    return found
  }
  return new Map(
    [...direct.keys()].map((name) => [
      name,
      [...closureOf(name)].map((above) => ({ name: above })),
    ]),
  )
}

function nameIn(info: Json, part: 'repo' | 'pipeline'): string {
  return textIn(info, part, 'name')
}

/** Only states that some job has are told; those that had not ended were killed. */
function withEndedCounts(counts: Json): Json {
  const { 0: starting = 0, 1: running = 0, 4: killed = 0, ...others } = counts
  const all = { ...others, 4: Number(killed) + Number(starting) + Number(running) }
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count !== 0))
}

/** Of a pipeline that was updated, 1.5 counts the jobs since then; here all are counted. */
function countsOfAll(jobs: readonly Json[], pipeline: string): Json {
  const numbers: Readonly<Record<string, string>> = {
    JOB_FAILURE: '2',
    JOB_SUCCESS: '3',
    JOB_KILLED: '4',
  }
  const counts: Record<string, number> = {}
  for (const job of jobs) {
    if (nameIn(job, 'pipeline') !== pipeline) continue
    const number = numbers[textIn(job, 'state')] ?? 'unknown'
    counts[number] = (counts[number] ?? 0) + 1
  }
  return counts
}

function changed(part: 'repo' | 'commit' | 'pipeline' | 'job', info: Json): Json {
  return differences.reduce((json, difference) => difference[part]?.(json) ?? json, info)
}

/** Pipelines that read one repo through two branches, which only 1.4 could. */
export const leftOut: Readonly<Record<OldClusterName, readonly string[]>> = {
  '1.4.8': ['nested'],
  '1.5.3': [],
  '1.5.3-objectstore': [],
}

/**
 * What 1.5 said of a cluster, as it is to be served here. Of pipelines that are
 * left out, jobs come without what they ran, which no spec can say.
 */
export function asServedHere(whole: Whole, name: OldClusterName): Whole {
  const isLeftOut = (info: Json): boolean => leftOut[name].includes(nameIn(info, 'pipeline'))
  const far = withFarProvenance(whole)
  const jobs = whole.jobs.map((info) => {
    const { transform, input, parallelismSpec, resourceSpec, ...rest } = changed('job', info)
    const spec = { transform, input, parallelismSpec, resourceSpec } as Json
    return isLeftOut(info) ? rest : { ...rest, ...spec }
  })
  const pipelines = whole.pipelines
    .filter((info) => !isLeftOut(info))
    .map((info) => {
      const wasUpdated = 'salt' in info && info['version'] !== '1'
      const counts = withEndedCounts((info['jobCounts'] ?? {}) as Json)
      const jobCounts = wasUpdated ? countsOfAll(jobs, nameIn(info, 'pipeline')) : counts
      return { ...changed('pipeline', info), jobCounts }
    })
  return withSortedProvenance({
    repos: whole.repos.map(({ info, branches, commits }) => {
      const provenance = far.get(nameIn(info, 'repo')) ?? []
      return {
        info: {
          ...changed('repo', info),
          ...(provenance.length > 0 && { provenance: [...provenance] }),
        },
        branches,
        commits: commits.map((commit: WholeCommit) => ({
          ...commit,
          info: changed('commit', commit.info),
        })),
      }
    }),
    pipelines,
    jobs,
  })
}

/** Without commits that are open: their branches go back to their parents. */
export function withoutOpenCommits(whole: Whole): Whole {
  return {
    ...whole,
    repos: whole.repos.map(({ info, branches, commits }) => {
      const open = new Map(
        commits
          .filter((commit) => !('finished' in commit.info))
          .map(({ info: one }) => [textIn(one, 'commit', 'id'), one['parentCommit']]),
      )
      return {
        info,
        branches: branches.map((branch) => {
          const parent = open.get(textIn(branch, 'head', 'id'))
          return parent === undefined ? branch : { ...branch, head: parent }
        }),
        commits: commits.filter((commit) => 'finished' in commit.info),
      }
    }),
  }
}
