"""`python -m hashserver_aio` is `hashserver-aio`."""

from .cli import main

if __name__ == "__main__":
    main()
