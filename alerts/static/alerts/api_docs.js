// A browser session needs the CSRF token on everything that writes.
const csrfToken = () => (document.cookie.match(/(?:^|; )csrftoken=([^;]+)/) || [])[1];

window.ui = SwaggerUIBundle({
  url: document.getElementById("api").dataset.document,
  dom_id: "#api",
  deepLinking: true,
  requestInterceptor: (request) => {
    const token = csrfToken();
    if (token && !["GET", "HEAD"].includes(request.method)) request.headers["X-CSRFToken"] = token;
    return request;
  },
});
