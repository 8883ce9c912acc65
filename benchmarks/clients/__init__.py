"""What people write when they have no load client: each a page, on a library's own terms. Run as programs.

``program URL CLIENTS MESSAGES_PER_S SECONDS`` prints one line of JSON: `account.Account`.
"""
