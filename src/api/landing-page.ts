import type { IncomingMessage, ServerResponse } from 'node:http'
import { commonHeaders } from './http/headers.ts'
import { prefersPage } from './http/listing-answer.ts'
import { notePage, pageHeaders } from './http/pages.ts'

const filesPath = '/v1/pfs/repos/'

/** What somebody sees who opens a pachd's address in a browser. */
export function answerLandingPage(request: IncomingMessage, response: ServerResponse): void {
  const host = request.headers.host ?? 'HOST:PORT'
  const isLanding = request.url === '/'
  const [type, text] = isLanding ? landing(request, host) : nothing(request, host)
  response.writeHead(isLanding ? 200 : 404, {
    ...commonHeaders,
    ...(type === 'html' ? pageHeaders : { 'content-type': type }),
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}

function landing({ headers }: IncomingMessage, host: string): readonly [type: string, string] {
  const what = 'This is pachd, a Pachyderm server. It speaks gRPC on this port.'
  const connect = `Connect with: ADDRESS=${host} pachctl version`
  if (prefersPage(headers.accept)) {
    const links = [{ text: 'Browse the files', href: `.${filesPath}` }]
    return ['html', notePage('pachd', [what, connect], links)]
  }
  const files = `Files in a browser: http://${host}${filesPath}`
  return ['text/plain; charset=utf-8', `${what}\n\n${connect}\n${files}\n`]
}

function nothing({ url }: IncomingMessage, host: string): readonly [type: string, string] {
  const error = `there is nothing at ${url}`
  const advice = `this is pachd; connect with: ADDRESS=${host} pachctl version`
  return ['application/json', `${JSON.stringify({ error, advice })}\n`]
}
