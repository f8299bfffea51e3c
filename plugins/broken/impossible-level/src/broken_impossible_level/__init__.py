"""Files of a platform that is not there."""


class Upper:
    def read_file(self, path):
        raise FileNotFoundError(path)

    def write_file(self, path, data):
        raise FileNotFoundError(path)

    def get_env(self, key, default=""):
        return default

    @staticmethod
    def refuses(facts):
        return "it is not there"
