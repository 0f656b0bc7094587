import type { IncomingMessage, ServerResponse } from 'node:http'

/** What somebody sees who opens a pachd's address in a browser. */
export function answerLandingPage(request: IncomingMessage, response: ServerResponse): void {
  const host = request.headers.host ?? 'HOST:PORT'
  const text =
    request.url === '/'
      ? `This is pachd, a Pachyderm server. It speaks gRPC on this port.\n\nConnect with: ADDRESS=${host} pachctl version\n`
      : `${JSON.stringify({ error: `there is nothing at ${request.url}`, advice: `this is pachd; connect with: ADDRESS=${host} pachctl version` })}\n`
  const isPage = request.url === '/'
  response.writeHead(isPage ? 200 : 404, {
    'content-type': isPage ? 'text/plain; charset=utf-8' : 'application/json',
  })
  response.end(request.method === 'HEAD' ? undefined : text)
}
