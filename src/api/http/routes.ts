import { InvalidArgumentError } from '../../base/errors.ts'

/** What a URL below `/v1/pfs` names. Names are as they were written, and may name nothing. */
export type HttpRoute =
  | { readonly kind: 'repos' }
  | { readonly kind: 'repo'; readonly repo: string }
  | { readonly kind: 'commit'; readonly repo: string; readonly commit: string }
  | {
      readonly kind: 'files'
      readonly repo: string
      readonly commit: string
      /** Not normalised; empty for the root. */
      readonly path: string
    }

/** A request's target. */
export interface Target {
  readonly route: HttpRoute
  readonly query: URLSearchParams
  /** How many names the URL has behind that of the page's root (`…/files` or `…/repos`), as written. */
  readonly depth: number
}

const prefix = ['', 'v1', 'pfs', 'repos'] as const

/**
 * What a request is for; undefined when it is for nothing that is here.
 *
 * @throws {InvalidArgumentError} for escapes that are no UTF-8.
 */
export function parseTarget(url: string): Target | undefined {
  // A proxy may be asked with the whole URL.
  const local = url.replace(/^https?:\/\/[^/?]*/i, '')
  const end = local.search(/[?#]/)
  const written = (end === -1 ? local : local.slice(0, end)).split('/')
  if (prefix.some((name, index) => written[index] !== name)) return undefined
  const query = new URLSearchParams(end === -1 ? '' : local.slice(end + 1))
  const names = written.slice(prefix.length)
  const [repo, commits, commit, files, ...path] = names
  if (repo === undefined || names.every((name) => name === '')) {
    return { route: { kind: 'repos' }, query, depth: names.length }
  }
  if (repo === '' || (commits !== undefined && commits !== '' && commits !== 'commits')) {
    return undefined
  }
  if (commit === undefined || commit === '') {
    if (names.length > 3) return undefined
    return { route: { kind: 'repo', repo: decoded(repo) }, query, depth: names.length }
  }
  const place = { repo: decoded(repo), commit: decoded(commit) }
  if (files === undefined || (files === '' && path.length === 0)) {
    return { route: { kind: 'commit', ...place }, query, depth: names.length }
  }
  if (files !== 'files') return undefined
  const route = { kind: 'files', ...place, path: path.map(decoded).join('/') } as const
  return { route, query, depth: path.length }
}

/**
 * A link from a page to its root, which all other links go through, so that the door may stand behind
 * a proxy at any path: relative, with a slash at its end.
 */
export function linkToRoot(rootName: string, depth: number): string {
  if (depth === 0) return `./${rootName}/`
  return depth === 1 ? './' : '../'.repeat(depth - 1)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (error) {
    throw new InvalidArgumentError(
      `${JSON.stringify(text)} in the URL is not UTF-8 in percent encoding: write a percent sign as %25`,
      { cause: error },
    )
  }
}
